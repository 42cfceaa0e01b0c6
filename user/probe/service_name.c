// SPDX-License-Identifier: Apache-2.0
#include "probe/service_name.h"

#include <stdio.h>
#include <string.h>

bool arguments__next(struct view *rest, struct view *ret)
{
	const char *nul;

	if (!rest->len)
		return false;
	nul = memchr(rest->at, '\0', rest->len);
	*ret = (struct view){ rest->at, nul ? (size_t)(nul - rest->at) : rest->len };
	rest->at += ret->len + (nul != NULL);
	rest->len -= ret->len + (nul != NULL);
	return true;
}

bool environ__get(struct view environ, const char *name, struct view *ret)
{
	size_t n = strlen(name);
	struct view entry;

	while (arguments__next(&environ, &entry)) {
		if (entry.len <= n || entry.at[n] != '=' || memcmp(entry.at, name, n))
			continue;
		*ret = (struct view){ entry.at + n + 1, entry.len - n - 1 };
		return true;
	}
	return false;
}

struct view path__base(struct view path)
{
	const char *slash;

	if (!path.len)
		return path;
	slash = memrchr(path.at, '/', path.len);
	if (!slash)
		return path;
	return (struct view){ slash + 1, path.len - (size_t)(slash + 1 - path.at) };
}

static bool take(struct view name, char ret[SERVICE_NAME_BYTES])
{
	if (!name.len)
		return false;
	snprintf(ret, SERVICE_NAME_BYTES, "%.*s", (int)(name.len < 255 ? name.len : 255), name.at);
	return ret[0] != '\0';
}

/*
 * Value of the Java system property `-D<name>=`, on the command line before the program, or in
 * JAVA_TOOL_OPTIONS: how the OpenTelemetry Java agent is told its service's name.
 */
static bool java_property(const struct service_facts *facts, const char *define, struct view *ret)
{
	struct view rest = facts->cmdline, arg, options;
	size_t n = strlen(define);
	const char *at, *end;

	while (arguments__next(&rest, &arg)) {
		if (view_eq(arg, VIEW("-jar")))
			break;
		if (arg.len > n && !memcmp(arg.at, define, n)) {
			*ret = (struct view){ arg.at + n, arg.len - n };
			return true;
		}
	}
	if (!environ__get(facts->environ, "JAVA_TOOL_OPTIONS", &options))
		return false;
	at = memmem(options.at, options.len, define, n);
	if (!at)
		return false;
	at += n;
	end = memchr(at, ' ', options.len - (size_t)(at - options.at));
	*ret = (struct view){ at,
			      end ? (size_t)(end - at) : options.len - (size_t)(at - options.at) };
	return true;
}

static bool from_environment(const struct service_facts *facts, char ret[SERVICE_NAME_BYTES])
{
	const struct interpreter *interpreter = interpreter__find(facts->exe_name);
	struct view value;

	/* System properties come before the environment in the Java agent's configuration. */
	if (interpreter && interpreter__runtime(interpreter) == RUNTIME_JAVA &&
	    java_property(facts, "-Dotel.service.name=", &value) && take(value, ret))
		return true;
	return environ__get(facts->environ, "OTEL_SERVICE_NAME", &value) && take(value, ret);
}

static bool from_attributes(const struct service_facts *facts, char ret[SERVICE_NAME_BYTES])
{
	return take(facts->attribute, ret);
}

static bool from_unit(const struct service_facts *facts, char ret[SERVICE_NAME_BYTES])
{
	return take(facts->unit, ret);
}

static bool from_program(const struct service_facts *facts, char ret[SERVICE_NAME_BYTES])
{
	const struct interpreter *interpreter = interpreter__find(facts->exe_name);

	return interpreter && interpreter__program(interpreter, facts, ret);
}

static bool from_executable(const struct service_facts *facts, char ret[SERVICE_NAME_BYTES])
{
	if (facts->exe_name.len)
		snprintf(ret, SERVICE_NAME_BYTES, "unknown_service:%.*s",
			 (int)(facts->exe_name.len < 200 ? facts->exe_name.len : 200),
			 facts->exe_name.at);
	else
		snprintf(ret, SERVICE_NAME_BYTES, "unknown_service");
	return true;
}

/* The order is the precedence; a new source (OTEL_CTX, an annotation, a label) is a line here. */
static const struct {
	const char *name;
	bool (*get)(const struct service_facts *facts, char ret[SERVICE_NAME_BYTES]);
} sources[] = {
	[SERVICE_FROM_ENVIRONMENT] = { "OTEL_SERVICE_NAME", from_environment },
	[SERVICE_FROM_ATTRIBUTES] = { "OTEL_RESOURCE_ATTRIBUTES", from_attributes },
	[SERVICE_FROM_UNIT] = { "systemd unit", from_unit },
	[SERVICE_FROM_PROGRAM] = { "program", from_program },
	[SERVICE_FROM_EXECUTABLE] = { "executable", from_executable },
};

enum service_source service_name__choose(const struct service_facts *facts,
					 char ret[SERVICE_NAME_BYTES])
{
	enum service_source source = SERVICE_FROM_ENVIRONMENT;

	while (!sources[source].get(facts, ret))
		source++;
	return source;
}

const char *service_name__source(enum service_source source)
{
	return sources[source].name;
}
