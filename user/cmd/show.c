// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/look.h"
#include "ship/console/waterfall.h"
#include "ship/store/folder.h"
#include "ship/store/reader.h"

/* Of one trace; its spans are in memory when it is drawn. */
#define SPANS_MAX 200000

static const char help[] =
	"usage: sonde show [--store DIR] [--json] TRACEID\n"
	"\n"
	"One trace of the store of an agent that runs or has run, as a waterfall: spans under "
	"their "
	"parents,\n"
	"each with its time. Says where spans of it were given up for the store's limits.\n"
	"\n"
	"  sonde show 4bf92f3577b34da6a3ce929d0e0e4736\n"
	"  sonde show --json 4bf92f3577b34da6a3ce929d0e0e4736 > trace.jsonl\n"
	"\n"
	"  --store DIR      the store (default " STORE_FOLDER_DEFAULT ")\n"
	"  --json           OTLP JSON, one export request a line\n"
	"\n"
	"Exit status: 1 where there is no such trace or the store cannot be read, 2 for wrong "
	"usage.\n";

struct trace {
	const struct look_options *options;
	struct buf spans; /* as the waterfall keeps them */
	struct blob *resource;
	struct look_json json;
	bool failed;
};

static void keep_span(void *arg, const struct row *row, struct view scope)
{
	struct trace *t = arg;

	if (t->options->json) {
		look_json__add(&t->json, row->span.message, row->resource, scope);
		return;
	}
	if (!t->resource || !view_eq(blob__view(t->resource), row->resource)) {
		blob__put(t->resource);
		t->resource = blob__new(row->resource);
	}
	if (!t->resource || waterfall__keep(&t->spans, row->span.message, t->resource))
		t->failed = true;
}

static void print_note(void *arg, const char *text)
{
	const struct trace *t = arg;

	fprintf(stderr, "sonde show: %s: %s\n", t->options->store, text);
}

static void print_trace(struct trace *t, const struct line_style *style)
{
	struct buf text = { 0 };

	if (!t->options->json)
		waterfall__draw(&text, &t->spans, style);
	fwrite(text.at, 1, text.len, stdout);
	t->failed = t->failed || text.err;
	buf__free(&text);
}

/* 32 hexadecimal digits, in small letters as they are compared; the bytes. */
static bool read_id(char *text, uint8_t id[16])
{
	if (strlen(text) != 32 || strspn(text, "0123456789abcdefABCDEF") != 32)
		return false;
	for (int i = 0; i < 32; i++)
		text[i] = (char)tolower(text[i]);
	for (int i = 0; i < 16; i++)
		sscanf(text + 2 * i, "%2" SCNx8, &id[i]);
	return true;
}

static int show(const struct look_options *options, const struct where *where, const uint8_t id[16])
{
	struct trace t = { .options = options };
	struct line_style style = look__style();
	struct store_query query = { .where = where,
				     .limit = SPANS_MAX,
				     .found = keep_span,
				     .note = print_note,
				     .arg = &t };
	struct store_answer answer = { 0 };
	struct err err = { "" };
	int status = look__enter(options);

	if (!status && store__search(".", &query, &answer, &err)) {
		fprintf(stderr, "sonde show: %s\n", err.text);
		status = EXIT_FAILED;
	}
	if (!status && !answer.found) {
		fprintf(stderr, "sonde show: no span of trace %s in %s\n", options->text,
			options->store);
		status = EXIT_FAILED;
	}
	if (!status)
		print_trace(&t, &style);
	look_json__end(&t.json);
	fflush(stdout);
	if (!status && store__has_lost(".", (struct view){ (const char *)id, 16 }))
		fprintf(stderr,
			"sonde show: older spans of this trace were given up for the store's "
			"limits\n");
	waterfall__release(&t.spans);
	buf__free(&t.spans);
	blob__put(t.resource);
	return t.failed || t.json.failed || ferror(stdout) ? EXIT_FAILED : status;
}

int cmd_show(int argc, char **argv)
{
	struct look_options options;
	struct where *where = NULL;
	struct err err = { "" };
	char text[48];
	uint8_t id[16];
	int status;

	if (!look__options(argc, argv, help, &options, &status))
		return status;
	if (!read_id(options.text, id)) {
		fprintf(stderr,
			"sonde show: '%.64s' is no trace id of 32 hexadecimal digits; `sonde "
			"search` "
			"prints them\n",
			options.text);
		free(options.text);
		return EXIT_USAGE;
	}
	snprintf(text, sizeof(text), "trace=%s", options.text);
	status = where__parse(text, &where, &err) ? EXIT_FAILED : show(&options, where, id);
	where__free(where);
	free(options.text);
	return status;
}
