/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a process has a tracing SDK, agent or export library loaded, or may have. The answer has
 * one consequence: spans of such a process wait (ten seconds at most) for proof that it exports
 * them itself. A wrong yes costs that delay; a wrong no may show a call twice. So it is a safe
 * over-estimate where looking is cheap:
 *
 *   everywhere  environment: an exporter, an agent or its switches are configured
 *   maps        an agent's or SDK's shared library is mapped
 *   Java        -javaagent, JAVA_TOOL_OPTIONS, folders of the class path; by inspect: what the
 *               archive that it runs holds
 *   Python      a package "opentelemetry/sdk", ddtrace, … is installed where this interpreter
 *               looks: beside the mapped extension modules, in VIRTUAL_ENV, PYTHONPATH, the prefix
 *   Node        @opentelemetry/sdk-trace-base, dd-trace, … in a node_modules from the script up
 *   Ruby, PHP   a gem or package of that name beside the script (vendor/)
 *   Go, Rust    said by inspect: modules of the build information, crates' symbols
 *
 * Only SDKs count whose exports sonde can recognise (OTLP, Zipkin, Jaeger, Datadog): of others no
 * proof would ever come, and waiting for it would be in vain.
 *
 * Not seen: an SDK in a script that lies where no rule looks, or inside a bundle (webpack).
 * OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER=none are not taken as proof of the contrary: programs
 * configure SDKs in code, too.
 */
#ifndef SONDE_PROBE_SDK_DETECT_H
#define SONDE_PROBE_SDK_DETECT_H

#include <stdbool.h>

#include "probe/service_name.h"

struct sdk_facts {
	const struct service_facts *process;
	struct view maps;     /* /proc/PID/maps */
	struct view mounts;   /* /proc/PID/mountinfo */
	struct view exe_path; /* as the process sees it */
	enum runtime runtime;
	int proc; /* /proc/PID (procfs__open()), or -1: no file is looked for */
};

bool sdk_detect__loaded(const struct sdk_facts *facts);

/*
 * The archive that a Java virtual machine runs, opened for inspect, which looks for an SDK in its
 * directory. The caller's to close; -1: none is named, or it cannot be opened.
 */
int sdk_detect__archive(const struct sdk_facts *facts);

#endif
