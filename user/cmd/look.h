/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands that read a store share: options, the sandbox, what goes to the terminal. */
#ifndef SONDE_CMD_LOOK_H
#define SONDE_CMD_LOOK_H

#include "ship/console/line.h"
#include "ship/export/batch.h"
#include "ship/ship.h"

struct look_options {
	const char *command_name;
	const char *store;
	bool json, color;
	uint64_t limit; /* 0: the command's own */
	char *text;	/* all other arguments, with blanks between; the caller's to free() */
};

/* True: go on. Else *ret_status is the exit status, after a message or the help text. */
bool look__options(int argc, char **argv, const char *help, struct look_options *ret,
		   int *ret_status);
/*
 * From here on the process can do nothing but read the store's folder and write to what it has open; as the
 * folder's owner, where it was root. 0, or the exit status after a message.
 */
int look__enter(const struct look_options *options);
/* How the terminal wants it; before look__enter(). */
struct line_style look__style(void);

/* Spans as OTLP JSON lines, written out when enough are there. Zero-initialised is empty. */
struct look_json {
	struct queue queue;
	struct batch batch;
	struct blob *resource, *scope; /* of the last span */
	struct buf line;
	bool failed;
};
void look_json__add(struct look_json *j, struct view span, struct view resource, struct view scope);
void look_json__end(struct look_json *j);

#endif
