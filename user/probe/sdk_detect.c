// SPDX-License-Identifier: Apache-2.0
#include "probe/sdk_detect.h"

#include <string.h>

#include "probe/identity_runtime.h"
#include "probe/sdk_detect_files.h"

/* Names that tracing SDKs and agents have in paths, arguments and options. */
static const char *const words[] = {
	"opentelemetry", "open-telemetry", "OpenTelemetry", "otelinject",    "ngx_otel",
	"ddtrace",	 "dd-trace",	   "dd-java-agent", "Datadog.Trace", "libdatadog",
	"jaegertracing", "zipkin-",	   "brave-",
};

static bool names_sdk(struct view text)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (text.len && memmem(text.at, text.len, words[i], strlen(words[i])))
			return true;
	return false;
}

/* Variables by which code is put into a process; their values name the agent. */
static bool injected(struct view environ)
{
	static const char *const names[] = {
		"LD_PRELOAD",
		"NODE_OPTIONS",
		"JAVA_TOOL_OPTIONS",
		"JDK_JAVA_OPTIONS",
		"_JAVA_OPTIONS",
		"PYTHONPATH",
		"RUBYOPT",
		"DOTNET_STARTUP_HOOKS",
		"CORECLR_PROFILER_PATH",
		"PHP_INI_SCAN_DIR",
		"ERL_FLAGS",
	};
	struct view value;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!environ__get(environ, names[i], &value))
			continue;
		if (names_sdk(value) || memmem(value.at, value.len, "-javaagent:", 11))
			return true;
	}
	return false;
}

/*
 * Variables that configure an SDK that something else has loaded. Of OTEL_* only those of traces:
 * a whole session may have them for other programs, which is why compiled programs, whose parts
 * can be seen, are not asked.
 */
static bool configured(struct view environ)
{
	static const char *const prefixes[] = {
		"OTEL_TRACES_EXPORTER=",
		"OTEL_EXPORTER_OTLP_ENDPOINT=",
		"OTEL_EXPORTER_OTLP_TRACES_",
		"OTEL_EXPORTER_ZIPKIN_",
		"OTEL_EXPORTER_JAEGER_",
		"OTEL_PYTHON_",
		"OTEL_NODE_",
		"OTEL_JAVAAGENT_",
		"OTEL_DOTNET_AUTO_",
		"OTEL_PHP_",
		"DD_TRACE_",
		"DD_AGENT_HOST=",
		"DD_SERVICE=",
		"JAEGER_AGENT_",
		"JAEGER_ENDPOINT=",
		"SIGNALFX_",
		"SPLUNK_OTEL_",
	};
	struct view entry;

	while (arguments__next(&environ, &entry)) {
		if (view_eq(entry, VIEW("OTEL_TRACES_EXPORTER=none")))
			continue;
		for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
			size_t n = strlen(prefixes[i]);

			if (entry.len > n && !memcmp(entry.at, prefixes[i], n))
				return true;
		}
	}
	return false;
}

static bool mapped(struct view maps)
{
	struct view path, base, before = { NULL, 0 };

	while (maps__next(&maps, &path, &base)) {
		if (!path.len || view_eq(path, before))
			continue;
		before = path;
		if (names_sdk(path))
			return true;
	}
	return false;
}

static bool commanded(struct view cmdline)
{
	struct view arg;

	while (arguments__next(&cmdline, &arg))
		if (names_sdk(arg) || (arg.len > 11 && !memcmp(arg.at, "-javaagent:", 11)))
			return true;
	return false;
}

bool sdk_detect__loaded(const struct sdk_facts *facts)
{
	const struct service_facts *process = facts->process;

	if (injected(process->environ) || mapped(facts->maps))
		return true;
	switch (facts->runtime) {
	case RUNTIME_GO:
	case RUNTIME_RUST:
	case RUNTIME_NATIVE:
		return false; /* inspect and the maps have seen all there is */
	default:
		break;
	}
	if (configured(process->environ) || commanded(process->cmdline))
		return true;
	return facts->proc >= 0 && sdk_detect__installed(facts);
}
