/* SPDX-License-Identifier: Apache-2.0 */
/* From a script's path, a module's name or a process title to the name of a service. */
#ifndef SONDE_PROBE_SERVICE_NAME_SCRIPT_H
#define SONDE_PROBE_SERVICE_NAME_SCRIPT_H

#include "probe/service_name.h"

#define SCRIPT_TITLE_MAX_BYTES 1024

/* All: write a NUL-terminated name into ret[SERVICE_NAME_BYTES]; false: no name, ret is undefined. */

/* The name as it is, cut to fit. */
bool script__take(struct view name, char *ret);
/*
 * A script or archive: its base name without the extension. Where the file's name is the same in
 * every project (index.js, __main__.py, manage.py, a tool out of node_modules) the directory's.
 */
bool script__name(const struct service_facts *facts, struct view path, char *ret);
/* The last component that says something (not src, dist, bin, …). */
bool script__directory(struct view path, char *ret);
/* "shop.wsgi:app" and "shop/com.example.Main" are "shop". */
bool script__module(struct view module, char *ret);
/*
 * Whether `server` is one of the programs that serve a Python application named by a later argument
 * (gunicorn shop.wsgi:app, celery -A shop, flask --app shop), and that argument's name.
 */
bool script__python_server(const struct service_facts *facts, struct view server, struct view rest,
			   char *ret);

/* One string with blanks, no second argument but padding. */
bool script__is_title(struct view first, struct view rest);
/* Titles that name the application: "gunicorn: worker [shop]", "puma 6.4 (tcp://…) [shop]". */
bool script__from_title(struct view title, char *ret);
/*
 * "node /srv/shop.js" is still a command line: what follows its first word, cut at blanks, each
 * argument followed by a NUL, in `to`. Empty where the first word is not the interpreter.
 */
struct view script__split_title(const char *interpreter, struct view title,
				char to[SCRIPT_TITLE_MAX_BYTES]);

#endif
