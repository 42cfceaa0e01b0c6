// SPDX-License-Identifier: Apache-2.0
#include "cmd/look.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/command.h"
#include "ship/store/folder.h"
#include "supervise/sandbox.h"

#define LINE_SPANS 512
#define LINE_BYTES (256u << 10)
#define QUEUE_BYTES (8u << 20)

enum { OPT_STORE = 256, OPT_JSON };

static const struct option longs[] = { { "store", required_argument, NULL, OPT_STORE },
				       { "json", no_argument, NULL, OPT_JSON },
				       { "limit", required_argument, NULL, 'n' },
				       { "help", no_argument, NULL, 'h' },
				       { 0 } };

static char *join(char *const *words, int n)
{
	struct buf text = { 0 };

	for (int i = 0; i < n; i++) {
		if (i)
			buf__add(&text, " ", 1);
		buf__add_str(&text, words[i]);
	}
	buf__add(&text, "", 1);
	return (char *)text.at;
}

static int bad(const char *command, const char *what, const char *argument)
{
	fprintf(stderr, "sonde %s: %s '%s'; `sonde %s --help` shows how it is used\n", command,
		what, argument, command);
	return EXIT_USAGE;
}

bool look__options(int argc, char **argv, const char *help, struct look_options *ret,
		   int *ret_status)
{
	char *end;
	int code;

	*ret = (struct look_options){ .command_name = argv[0], .store = STORE_FOLDER_DEFAULT };
	*ret_status = EXIT_DONE;
	optind = 1;
	opterr = 0;
	while ((code = getopt_long(argc, argv, ":n:h", longs, NULL)) != -1) {
		switch (code) {
		case OPT_STORE:
			ret->store = optarg;
			break;
		case OPT_JSON:
			ret->json = true;
			break;
		case 'n':
			ret->limit = strtoull(optarg, &end, 10);
			if (*optarg < '0' || *optarg > '9' || *end || !ret->limit)
				*ret_status =
					bad(argv[0], "-n: this is no number of spans:", optarg);
			break;
		case 'h':
			fputs(help, stdout);
			return false;
		default:
			*ret_status =
				bad(argv[0],
				    code == ':' ? "a value is missing behind" : "unknown option",
				    argv[optind - 1]);
		}
		if (*ret_status)
			return false;
	}
	ret->text = join(argv + optind, argc - optind);
	*ret_status = ret->text ? EXIT_DONE : EXIT_FAILED;
	return !*ret_status;
}

int look__enter(const struct look_options *options)
{
	struct sandbox_path path = { ".", false };
	struct sandbox sandbox = { .role = ROLE_READ, .paths = &path, .n_paths = 1 };
	struct err err = { "" };
	struct stat st;

	if (stat(options->store, &st) || !S_ISDIR(st.st_mode)) {
		fprintf(stderr,
			"sonde %s: there is no store in %s: %s; `sonde agent --store DIR` writes "
			"one, "
			"--store DIR names it here\n",
			options->command_name, options->store,
			errno ? strerror(errno) : "it is no folder");
		return EXIT_FAILED;
	}
	sandbox.uid = st.st_uid;
	/* The folders above it may be closed to its owner. */
	if (chdir(options->store)) {
		fprintf(stderr, "sonde %s: cannot enter %s: %s\n", options->command_name,
			options->store, strerror(errno));
		return EXIT_FAILED;
	}
	if (!sandbox__enter(&sandbox, &err))
		return EXIT_DONE;
	fprintf(stderr, "sonde %s: %s\n", options->command_name, err.text);
	return EXIT_FAILED;
}

struct line_style look__style(void)
{
	struct ship_console console = { .fd = STDOUT_FILENO };

	ship_console__look(&console);
	return (struct line_style){ .color = console.color,
				    .unicode = console.unicode,
				    .width = console.width,
				    .utc_offset_s = console.utc_offset_s };
}

static struct blob *same_or_new(struct blob *last, struct view bytes)
{
	if (last && view_eq(blob__view(last), bytes))
		return last;
	blob__put(last);
	/* a store keeps no schema_url: then none is said, of whomever it is */
	return blob__new_beside(bytes, VIEW(""));
}

static void write_line(struct look_json *j)
{
	uint64_t n = queue__prefix(&j->queue, LINE_SPANS, LINE_BYTES), ignored;

	buf__clear(&j->line);
	if (batch__encode(&j->batch, &j->queue, n, BATCH_JSON, &j->line, &ignored))
		j->failed = true;
	queue__drop(&j->queue, n);
	if (j->line.len)
		fprintf(stdout, "%.*s\n", (int)j->line.len, (const char *)j->line.at);
}

void look_json__add(struct look_json *j, struct view span, struct view resource, struct view scope)
{
	j->queue.bytes_max = QUEUE_BYTES;
	j->resource = same_or_new(j->resource, resource);
	j->scope = same_or_new(j->scope, scope);
	if (!j->resource || !j->scope || queue__push(&j->queue, j->resource, j->scope, span))
		j->failed = true;
	while (j->queue.spans >= LINE_SPANS || j->queue.bytes >= LINE_BYTES)
		write_line(j);
}

void look_json__end(struct look_json *j)
{
	while (j->queue.spans)
		write_line(j);
	queue__free(&j->queue);
	batch__free(&j->batch);
	blob__put(j->resource);
	blob__put(j->scope);
	buf__free(&j->line);
}
