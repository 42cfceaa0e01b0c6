/* SPDX-License-Identifier: Apache-2.0 */
/* Which language runtime a process runs in, as far as its mapped libraries tell. */
#ifndef SONDE_PROBE_IDENTITY_RUNTIME_H
#define SONDE_PROBE_IDENTITY_RUNTIME_H

#include <stdbool.h>

#include "base/buf.h"
#include "core/message.h"

/* From the text of /proc/PID/maps: libjvm, libpython3, libnode, …; RUNTIME_UNKNOWN: none of them. */
enum runtime runtime__from_maps(struct view maps);
/*
 * telemetry.sdk.language: the semantic conventions' well-known values where there is one ("cpp",
 * "dotnet", "erlang", "go", "java", "nodejs", "php", "python", "ruby", "rust"), else "native",
 * "perl", "unknown".
 */
struct view runtime__language(enum runtime runtime, bool cxx);

/* The next line of *maps and the base name of the file that it maps (empty: none); false: the end. */
bool maps__next(struct view *maps, struct view *ret_path, struct view *ret_base);

#endif
