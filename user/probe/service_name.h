/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.name of a process on a host: one list of sources, the first that has a name wins. Pure:
 * everything that was read of the process comes in as text, all of it hostile.
 */
#ifndef SONDE_PROBE_SERVICE_NAME_H
#define SONDE_PROBE_SERVICE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/message.h"

#define SERVICE_NAME_BYTES 256

/* What is known of a process. Views are borrowed; empty: unknown. */
struct service_facts {
	struct view exe_name;  /* base name of /proc/PID/exe */
	struct view cmdline;   /* /proc/PID/cmdline: arguments, each followed by a NUL */
	struct view environ;   /* /proc/PID/environ: NAME=value, each followed by a NUL */
	struct view cwd;       /* /proc/PID/cwd */
	struct view attribute; /* service.name of OTEL_RESOURCE_ATTRIBUTES, decoded */
	struct view unit;      /* systemd unit without ".service" */
};

/* Where a name came from, in the order of precedence. */
enum service_source {
	SERVICE_FROM_ENVIRONMENT = 0, /* OTEL_SERVICE_NAME, or Java's -Dotel.service.name */
	SERVICE_FROM_ATTRIBUTES,      /* OTEL_RESOURCE_ATTRIBUTES */
	SERVICE_FROM_UNIT,	      /* systemd */
	SERVICE_FROM_PROGRAM,	      /* jar, script, module, main class that an interpreter runs */
	SERVICE_FROM_EXECUTABLE,      /* unknown_service:<exe> */
};

/* Always finds a name (at the very least "unknown_service"), NUL-terminated, bytes as they came. */
enum service_source service_name__choose(const struct service_facts *facts,
					 char ret[SERVICE_NAME_BYTES]);

/* For people: "OTEL_SERVICE_NAME", "systemd unit", "program", …; sonde.service.name.source. */
const char *service_name__source(enum service_source source);

/* Value of the environment variable `name`; false: not set. The first one wins, as with getenv(3). */
bool environ__get(struct view environ, const char *name, struct view *ret);
/* Next argument (or NAME=value) of *rest, which moves on; false at the end. */
bool arguments__next(struct view *rest, struct view *ret);
/* What follows the last slash. */
struct view path__base(struct view path);

/*
 * An interpreter or virtual machine, known by the base name of its executable, versions aside
 * (python3.11, ruby3.1, php-fpm8.2). NULL: none of those.
 */
struct interpreter;
const struct interpreter *interpreter__find(struct view exe_name);
enum runtime interpreter__runtime(const struct interpreter *interpreter);
/*
 * Which program it runs, by its arguments: "shop" for `python3 /srv/shop.py`, `java -jar shop.jar`,
 * `gunicorn shop.wsgi:app`, `node /srv/shop/index.js`. false: they do not say.
 */
bool interpreter__program(const struct interpreter *interpreter, const struct service_facts *facts,
			  char ret[SERVICE_NAME_BYTES]);

#endif
