/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed values from a YAML document, with ${…} references replaced (OpenTelemetry specification,
 * "Configuration Data Model", "Environment variable substitution"). Errors name file and place.
 */
#ifndef SONDE_SHIP_YAML_H
#define SONDE_SHIP_YAML_H

#include <libfyaml.h>

#include "base/err.h"
#include "base/otel_env.h"

struct yaml {
	struct fy_document *document;
	const char *name; /* of the file */
	const struct otel_env *env;
	struct err *err;
};

/* 0, -EINVAL with place and reason in err, -ENOMEM. name, env, err are borrowed until yaml__close(). */
int yaml__open(struct yaml *yaml, const char *text, size_t len, const char *name,
	       const struct otel_env *env, struct err *err);
void yaml__close(struct yaml *yaml);

/* The value of a key; NULL: node is NULL or no mapping, there is no such key, or its value is null. */
struct fy_node *yaml__get(struct yaml *yaml, struct fy_node *node, const char *key);
/* The only key of a mapping (a union of the schema: {batch: …}); its value may be NULL. -EINVAL otherwise. */
int yaml__only(struct yaml *yaml, struct fy_node *node, char key[64], struct fy_node **ret_value);

/*
 * Scalars of a mapping. Where the key is absent or null, *ret stays as it is. -EINVAL for another
 * type, -ENOMEM. A string replaces *ret (freed).
 */
int yaml__string(struct yaml *yaml, struct fy_node *node, const char *key, char **ret);
int yaml__number(struct yaml *yaml, struct fy_node *node, const char *key, uint64_t max,
		 uint64_t *ret);
int yaml__ratio(struct yaml *yaml, struct fy_node *node, const char *key, double *ret);
int yaml__bool(struct yaml *yaml, struct fy_node *node, const char *key, bool *ret);

/* -EINVAL with "FILE: /place: why" in err. */
int yaml__wrong(struct yaml *yaml, struct fy_node *node, const char *why);

#endif
