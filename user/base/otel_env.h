/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTEL_* variables by the rules of the OpenTelemetry specification ("Environment Variable
 * Specification"): empty means unset, booleans are true only for "true", a bad number or enum is
 * warned about and ignored. Pure: the environment is passed in.
 */
#ifndef SONDE_BASE_OTEL_ENV_H
#define SONDE_BASE_OTEL_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct otel_env {
	const char *(*get)(void *arg, const char *name); /* NULL: unset */
	void *arg;
};
/* getenv(3). */
struct otel_env otel_env__process(void);

#define OTEL_WARNINGS_MAX 16
/* Sentences for a person; those past the bound are only counted. */
struct otel_warnings {
	char text[OTEL_WARNINGS_MAX][256];
	unsigned int n, more;
};
void otel_warn(struct otel_warnings *warnings, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* NULL where it is unset or empty. */
const char *otel_env__get(const struct otel_env *env, const char *name);
/* "true" in any case of letters; anything else that is not "false" is warned about. */
bool otel_env__bool(const struct otel_env *env, const char *name, struct otel_warnings *warnings);
/* A decimal number from min to max; otherwise *value stays and it is warned about. True: set. */
bool otel_env__number(const struct otel_env *env, const char *name, uint64_t min, uint64_t max,
		      uint64_t *value, struct otel_warnings *warnings);
/* Index in names (case does not matter), -1: unset, or unknown (warned about). */
int otel_env__enum(const struct otel_env *env, const char *name, const char *const *names,
		   struct otel_warnings *warnings);

#define OTEL_PAIRS_MAX 128
struct otel_pair {
	char *key, *value; /* decoded, NUL-terminated, no NUL inside */
};
struct otel_pairs {
	struct otel_pair at[OTEL_PAIRS_MAX];
	unsigned int n;
};
/*
 * "k=v,k2=v2", values percent-encoded (W3C Baggage without properties; keys too). White space
 * around keys and values is not part of them. A later key replaces an earlier one. 0, -EINVAL: not
 * of this form (nothing is added), -E2BIG, -ENOMEM.
 */
int otel_pairs__parse(struct otel_pairs *pairs, const char *text);
/* Adds or replaces; 0, -E2BIG, -ENOMEM. */
int otel_pairs__set(struct otel_pairs *pairs, struct view key, struct view value);
const char *otel_pairs__get(const struct otel_pairs *pairs, const char *key);
void otel_pairs__free(struct otel_pairs *pairs);

/*
 * Resource attributes: OTEL_RESOURCE_ATTRIBUTES (a decode error discards the whole variable, with
 * a warning), over which goes OTEL_SERVICE_NAME as service.name. 0 or -ENOMEM.
 */
int otel_env__resource(const struct otel_env *env, struct otel_pairs *pairs,
		       struct otel_warnings *warnings);

/* The order is that of enum sampler_kind (core/engine.h). */
enum otel_sampler_kind {
	OTEL_SAMPLER_PARENT_ALWAYS_ON = 0,
	OTEL_SAMPLER_ALWAYS_ON,
	OTEL_SAMPLER_ALWAYS_OFF,
	OTEL_SAMPLER_PARENT_ALWAYS_OFF,
	OTEL_SAMPLER_RATIO,
	OTEL_SAMPLER_PARENT_RATIO,
};
struct otel_sampler {
	enum otel_sampler_kind kind;
	double ratio; /* 0..1 */
};
/* OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG; default parentbased_always_on, ratio 1. */
struct otel_sampler otel_env__sampler(const struct otel_env *env, struct otel_warnings *warnings);
/* A number from 0 to 1, nothing behind it. */
bool otel_ratio__parse(const char *text, double *ret);

enum { OTEL_EXPORT_OTLP = 1 << 0, OTEL_EXPORT_CONSOLE = 1 << 1 };
/* OTEL_TRACES_EXPORTER: bits of what to use; "none" is 0, default otlp; unknown names are warned about. */
unsigned int otel_env__traces_exporters(const struct otel_env *env, struct otel_warnings *warnings);

#endif
