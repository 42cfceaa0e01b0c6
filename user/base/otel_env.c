// SPDX-License-Identifier: Apache-2.0
#include "base/otel_env.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *from_process(void *arg, const char *name)
{
	return getenv(name);
}

struct otel_env otel_env__process(void)
{
	return (struct otel_env){ from_process, NULL };
}

void otel_warn(struct otel_warnings *warnings, const char *fmt, ...)
{
	va_list ap;

	if (!warnings)
		return;
	if (warnings->n == OTEL_WARNINGS_MAX) {
		warnings->more++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(warnings->text[warnings->n++], sizeof(warnings->text[0]), fmt, ap);
	va_end(ap);
}

const char *otel_env__get(const struct otel_env *env, const char *name)
{
	const char *value = env->get(env->arg, name);

	return value && *value ? value : NULL;
}

bool otel_env__bool(const struct otel_env *env, const char *name, struct otel_warnings *warnings)
{
	const char *value = otel_env__get(env, name);

	if (!value || !strcasecmp(value, "false"))
		return false;
	if (!strcasecmp(value, "true"))
		return true;
	otel_warn(warnings, "%s=%.64s is neither true nor false: taken as false", name, value);
	return false;
}

bool otel_env__number(const struct otel_env *env, const char *name, uint64_t min, uint64_t max,
		      uint64_t *value, struct otel_warnings *warnings)
{
	const char *text = otel_env__get(env, name);
	unsigned long long n;
	char *end;

	if (!text)
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n < min || n > max) {
		otel_warn(warnings, "%s=%.64s is not a number from %llu to %llu: ignored", name,
			  text, (unsigned long long)min, (unsigned long long)max);
		return false;
	}
	*value = n;
	return true;
}

int otel_env__enum(const struct otel_env *env, const char *name, const char *const *names,
		   struct otel_warnings *warnings)
{
	const char *value = otel_env__get(env, name);
	char known[160] = "";
	size_t n = 0;

	if (!value)
		return -1;
	for (int i = 0; names[i]; i++)
		if (!strcasecmp(value, names[i]))
			return i;
	for (int i = 0; names[i] && n < sizeof(known); i++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "",
				      names[i]);
	otel_warn(warnings, "%s=%.64s is not known (%s): ignored", name, value, known);
	return -1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place; the new length, or -EINVAL for a bad escape or a NUL. */
static long percent_decode(char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (s[i] != '%') {
			s[n++] = s[i];
			continue;
		}
		if (len - i < 3)
			return -EINVAL;
		high = hex_digit(s[i + 1]);
		low = hex_digit(s[i + 2]);
		if (high < 0 || low < 0 || !(high | low))
			return -EINVAL;
		s[n++] = (char)(high << 4 | low);
		i += 2;
	}
	return (long)n;
}

int otel_pairs__set(struct otel_pairs *pairs, struct view key, struct view value)
{
	unsigned int i = 0;
	char *k, *v;

	while (i < pairs->n && !view_eq(view_of(pairs->at[i].key), key))
		i++;
	if (i == OTEL_PAIRS_MAX)
		return -E2BIG;
	k = strndup(key.at, key.len);
	v = strndup(value.at, value.len);
	if (!k || !v) {
		free(k);
		free(v);
		return -ENOMEM;
	}
	if (i < pairs->n) {
		free(pairs->at[i].key);
		free(pairs->at[i].value);
	} else {
		pairs->n++;
	}
	pairs->at[i] = (struct otel_pair){ k, v };
	return 0;
}

const char *otel_pairs__get(const struct otel_pairs *pairs, const char *key)
{
	for (unsigned int i = 0; i < pairs->n; i++)
		if (!strcmp(pairs->at[i].key, key))
			return pairs->at[i].value;
	return NULL;
}

void otel_pairs__free(struct otel_pairs *pairs)
{
	if (!pairs)
		return;
	for (unsigned int i = 0; i < pairs->n; i++) {
		free(pairs->at[i].key);
		free(pairs->at[i].value);
	}
	pairs->n = 0;
}

static struct view trimmed(char *s, size_t len)
{
	while (len && (*s == ' ' || *s == '\t')) {
		s++;
		len--;
	}
	while (len && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	return (struct view){ s, len };
}

/* One member of the list, which may be changed in place. Empty members are passed over. */
static int parse_member(struct otel_pairs *pairs, char *member)
{
	struct view all = trimmed(member, strlen(member)), key, value;
	char *equals = memchr(all.at, '=', all.len);
	long n;

	if (!all.len)
		return 0;
	if (!equals)
		return -EINVAL;
	value = trimmed(equals + 1, (size_t)(all.at + all.len - equals - 1));
	key = trimmed((char *)all.at, (size_t)(equals - all.at));
	n = percent_decode((char *)value.at, value.len);
	if (n < 0)
		return -EINVAL;
	value.len = (size_t)n;
	n = percent_decode((char *)key.at, key.len);
	if (n <= 0)
		return -EINVAL;
	key.len = (size_t)n;
	return otel_pairs__set(pairs, key, value);
}

int otel_pairs__parse(struct otel_pairs *pairs, const char *text)
{
	struct otel_pairs parsed = { .n = 0 };
	char *copy = strdup(text), *rest = copy, *member;
	int err = copy ? 0 : -ENOMEM;

	while (!err && (member = strsep(&rest, ",")))
		err = parse_member(&parsed, member);
	for (unsigned int i = 0; !err && i < parsed.n; i++)
		err = otel_pairs__set(pairs, view_of(parsed.at[i].key),
				      view_of(parsed.at[i].value));
	otel_pairs__free(&parsed);
	free(copy);
	return err;
}

int otel_env__resource(const struct otel_env *env, struct otel_pairs *pairs,
		       struct otel_warnings *warnings)
{
	const char *list = otel_env__get(env, "OTEL_RESOURCE_ATTRIBUTES");
	const char *name = otel_env__get(env, "OTEL_SERVICE_NAME");
	int err = list ? otel_pairs__parse(pairs, list) : 0;

	if (err == -ENOMEM)
		return err;
	if (err)
		otel_warn(warnings, "OTEL_RESOURCE_ATTRIBUTES is not of the form k=v,k2=v2 with "
				    "percent-encoded values: all of it is ignored");
	if (name)
		err = otel_pairs__set(pairs, VIEW("service.name"), view_of(name));
	return err == -ENOMEM ? err : 0;
}

bool otel_ratio__parse(const char *text, double *ret)
{
	char *end;
	double d = strtod(text, &end);

	if (end == text || *end || !isfinite(d) || d < 0 || d > 1)
		return false;
	*ret = d;
	return true;
}

struct otel_sampler otel_env__sampler(const struct otel_env *env, struct otel_warnings *warnings)
{
	static const char *const names[] = {
		[OTEL_SAMPLER_PARENT_ALWAYS_ON] = "parentbased_always_on",
		[OTEL_SAMPLER_ALWAYS_ON] = "always_on",
		[OTEL_SAMPLER_ALWAYS_OFF] = "always_off",
		[OTEL_SAMPLER_PARENT_ALWAYS_OFF] = "parentbased_always_off",
		[OTEL_SAMPLER_RATIO] = "traceidratio",
		[OTEL_SAMPLER_PARENT_RATIO] = "parentbased_traceidratio",
		NULL,
	};
	struct otel_sampler sampler = { OTEL_SAMPLER_PARENT_ALWAYS_ON, 1 };
	const char *arg = otel_env__get(env, "OTEL_TRACES_SAMPLER_ARG");
	int kind = otel_env__enum(env, "OTEL_TRACES_SAMPLER", names, warnings);

	if (kind >= 0)
		sampler.kind = (enum otel_sampler_kind)kind;
	if (arg && kind >= OTEL_SAMPLER_RATIO && !otel_ratio__parse(arg, &sampler.ratio))
		otel_warn(warnings,
			  "OTEL_TRACES_SAMPLER_ARG=%.64s is not a number from 0 to 1: "
			  "ignored, 1 is used",
			  arg);
	return sampler;
}

unsigned int otel_env__traces_exporters(const struct otel_env *env, struct otel_warnings *warnings)
{
	const char *list = otel_env__get(env, "OTEL_TRACES_EXPORTER");
	unsigned int bits = 0;

	while (list) {
		const char *comma = strchr(list, ',');
		struct view name =
			trimmed((char *)list, comma ? (size_t)(comma - list) : strlen(list));

		if (view_eq_nocase(name, VIEW("otlp")))
			bits |= OTEL_EXPORT_OTLP;
		else if (view_eq_nocase(name, VIEW("console")))
			bits |= OTEL_EXPORT_CONSOLE;
		else if (name.len && !view_eq_nocase(name, VIEW("none")))
			otel_warn(warnings,
				  "OTEL_TRACES_EXPORTER=%.*s is not known (otlp, console, none): "
				  "ignored",
				  (int)(name.len > 64 ? 64 : name.len), name.at);
		list = comma ? comma + 1 : NULL;
	}
	return otel_env__get(env, "OTEL_TRACES_EXPORTER") ? bits : OTEL_EXPORT_OTLP;
}
