// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/look.h"
#include "ship/store/folder.h"
#include "ship/store/reader.h"

#define LIMIT_DEFAULT 100

static const char help[] =
	"usage: sonde search [--store DIR] [-n N] [--json] [EXPR]\n"
	"\n"
	"Finds spans in the store of an agent that runs or has run (`sonde agent --store DIR`), "
	"the "
	"newest\n"
	"first, each with its trace's id, which `sonde show` takes.\n"
	"\n"
	"  sonde search                                     the newest spans\n"
	"  sonde search service=shop 'duration>200ms'       terms side by side: all of them\n"
	"  sonde search 'status>=500 or error'              or, and, not, ( )\n"
	"  sonde search 'kind=client and not peer=10.0.0.7'\n"
	"  sonde search http.route=/users/{id} k8s.pod.name~^web-\n"
	"  sonde search --json -n 1000 error | jq .\n"
	"\n"
	"EXPR: FIELD OP VALUE, or FIELD alone (it is there). Fields: service, name (the "
	"operation), "
	"kind,\n"
	"status (HTTP, or error, ok, unset), error, duration, method, path, query, peer, port, "
	"trace, "
	"span,\n"
	"parent; any other name is an attribute of the span or its resource (.name where it is one "
	"word).\n"
	"OP: = != < <= > >= ~ !~ (regular expression).\n"
	"\n"
	"  --store DIR      the store (default " STORE_FOLDER_DEFAULT ")\n"
	"  -n, --limit N    so many spans at most (default 100)\n"
	"  --json           OTLP JSON, one export request a line\n"
	"\n"
	"Exit status: 0 also where nothing is found, 1 where the store cannot be read, 2 for wrong "
	"usage.\n";

struct printer {
	const struct look_options *options;
	struct line_style style;
	struct look_json json;
	struct buf text;
	bool headed;
};

static void print_span(void *arg, const struct row *row, struct view scope)
{
	struct printer *p = arg;

	if (p->options->json) {
		look_json__add(&p->json, row->span.message, row->resource, scope);
		return;
	}
	buf__clear(&p->text);
	if (!p->headed) {
		buf__printf(&p->text, "%-32s  ", "TRACE ID");
		line__heading(&p->text, &p->style);
	}
	p->headed = true;
	for (size_t i = 0; i < row->span.trace_id.len; i++)
		buf__printf(&p->text, "%02x", (uint8_t)row->span.trace_id.at[i]);
	buf__add_str(&p->text, "  ");
	line__add(&p->text, &p->style, row);
	fwrite(p->text.at, 1, p->text.len, stdout);
}

static void print_note(void *arg, const char *text)
{
	const struct printer *p = arg;

	fprintf(stderr, "sonde search: %s: %s\n", p->options->store, text);
}

static int search(const struct look_options *options, const struct where *where)
{
	struct printer p = { .options = options, .style = look__style() };
	struct store_query query = { .where = where,
				     .limit = options->limit ? options->limit : LIMIT_DEFAULT,
				     .found = print_span,
				     .note = print_note,
				     .arg = &p };
	struct store_answer answer = { 0 };
	struct err err = { "" };
	int status;

	/* The line follows an id. */
	if (p.style.width > 34 + 40)
		p.style.width -= 34;
	status = look__enter(options);
	if (!status && store__search(".", &query, &answer, &err)) {
		fprintf(stderr, "sonde search: %s\n", err.text);
		status = EXIT_FAILED;
	}
	look_json__end(&p.json);
	buf__free(&p.text);
	/* Why was said of each: that none was found says nothing, then. */
	if (!status && !answer.found && answer.partitions && answer.unread == answer.partitions) {
		fprintf(stderr, "sonde search: no partition of %s can be read to its end\n",
			options->store);
		status = EXIT_FAILED;
	} else if (!status && !answer.found) {
		fprintf(stderr, "sonde search: no span matches in the %u partition%s of %s\n",
			answer.partitions, answer.partitions == 1 ? "" : "s", options->store);
	} else if (!status && answer.more && !options->limit) {
		fprintf(stderr, "sonde search: there may be more: -n N asks for them\n");
	}
	if (fflush(stdout) || p.json.failed)
		status = EXIT_FAILED;
	return status;
}

int cmd_search(int argc, char **argv)
{
	struct look_options options;
	struct where *where = NULL;
	struct err err = { "" };
	int status;

	if (!look__options(argc, argv, help, &options, &status))
		return status;
	if (*options.text && where__parse(options.text, &where, &err)) {
		fprintf(stderr, "sonde search: %s\n",
			strncmp(err.text, "--where: ", 9) ? err.text : err.text + 9);
		free(options.text);
		return EXIT_USAGE;
	}
	status = search(&options, where);
	where__free(where);
	free(options.text);
	return status;
}
