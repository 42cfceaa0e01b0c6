// SPDX-License-Identifier: Apache-2.0
/* Defaults, and the configuration as one JSON document on its way to the role. */
#include "ship/ship.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With what a span waits for before it: within a second of its end it has left. */
#define DELAY_MS 800
#define TIMEOUT_MS 10000
#define RETRY_MS 300000
#define BATCH_SPANS 8192
/* Well below the 4 MiB at which gRPC servers refuse a message by default. */
#define BATCH_BYTES (1u << 20)

static const char *const types[] = { [SHIP_CONSOLE] = "console",
				     [SHIP_FILE] = "file",
				     [SHIP_OTLP] = "otlp",
				     [SHIP_STORE] = "store" };

static bool name_taken(const struct ship_config *config, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(config->sinks[i].name, name))
			return true;
	return false;
}

struct ship_sink_config *ship_config__add(struct ship_config *config, enum ship_sink_type type)
{
	struct ship_sink_config *sink;

	if (config->n_sinks == SHIP_SINKS_MAX)
		return NULL;
	sink = &config->sinks[config->n_sinks];
	*sink = (struct ship_sink_config){ .type = type, .console.fd = -1, .file.fd = -1 };
	snprintf(sink->name, sizeof(sink->name), "%s", types[type]);
	for (unsigned int i = 2; name_taken(config, config->n_sinks, sink->name); i++)
		snprintf(sink->name, sizeof(sink->name), "%s-%u", types[type], i);
	sink->console.lines = true;
	sink->otlp.timeout_ms = TIMEOUT_MS;
	sink->otlp.delay_ms = DELAY_MS;
	sink->otlp.batch_spans_max = BATCH_SPANS;
	sink->otlp.batch_bytes_max = BATCH_BYTES;
	sink->otlp.queue_bytes_max = SHIP_QUEUE_DEFAULT_BYTES;
	sink->otlp.retry_ms = RETRY_MS;
	config->n_sinks++;
	return sink;
}

void ship_config__free(struct ship_config *config)
{
	if (!config)
		return;
	for (uint32_t i = 0; i < config->n_sinks; i++) {
		struct ship_sink_config *sink = &config->sinks[i];
		struct ship_otlp *otlp = &sink->otlp;

		free(sink->console.where);
		free(sink->store.folder);
		free(otlp->endpoint);
		free(otlp->ca_file);
		free(otlp->cert_file);
		free(otlp->key_file);
		free(otlp->ca_pem);
		free(otlp->cert_pem);
		free(otlp->key_pem);
		for (uint32_t j = 0; j < otlp->n_headers; j++) {
			free(otlp->headers[j].name);
			free(otlp->headers[j].value);
		}
	}
	config->n_sinks = 0;
}

/* One table for both ways: where a member lies, and what it is. */
enum member_type { MEMBER_INT, MEMBER_U32, MEMBER_U64, MEMBER_BOOL, MEMBER_STRING };
struct member {
	const char *name;
	enum member_type type;
	size_t at;
};
#define M(member, type, kind)                                                                      \
	{                                                                                          \
#member, kind, offsetof(type, member)                                              \
	}

static const struct member console_members[] = {
	M(fd, struct ship_console, MEMBER_INT),
	M(lines, struct ship_console, MEMBER_BOOL),
	M(tree, struct ship_console, MEMBER_BOOL),
	M(summary, struct ship_console, MEMBER_BOOL),
	M(color, struct ship_console, MEMBER_BOOL),
	M(unicode, struct ship_console, MEMBER_BOOL),
	M(headers, struct ship_console, MEMBER_BOOL),
	M(width, struct ship_console, MEMBER_U32),
	M(utc_offset_s, struct ship_console, MEMBER_INT),
	M(limit, struct ship_console, MEMBER_U64),
	M(where, struct ship_console, MEMBER_STRING),
	{ 0 },
};
static const struct member file_members[] = {
	M(fd, struct ship_file, MEMBER_INT),
	M(by_size, struct ship_file, MEMBER_BOOL),
	{ 0 },
};
static const struct member store_members[] = {
	M(folder, struct ship_store, MEMBER_STRING), M(bytes_max, struct ship_store, MEMBER_U64),
	M(age_s, struct ship_store, MEMBER_U64),     M(run, struct ship_store, MEMBER_U64),
	M(shared, struct ship_store, MEMBER_BOOL),   { 0 },
};
static const struct member otlp_members[] = {
	M(endpoint, struct ship_otlp, MEMBER_STRING),
	M(protocol, struct ship_otlp, MEMBER_INT),
	M(compression, struct ship_otlp, MEMBER_INT),
	M(ca_file, struct ship_otlp, MEMBER_STRING),
	M(cert_file, struct ship_otlp, MEMBER_STRING),
	M(key_file, struct ship_otlp, MEMBER_STRING),
	M(ca_pem, struct ship_otlp, MEMBER_STRING),
	M(cert_pem, struct ship_otlp, MEMBER_STRING),
	M(key_pem, struct ship_otlp, MEMBER_STRING),
	M(timeout_ms, struct ship_otlp, MEMBER_U64),
	M(delay_ms, struct ship_otlp, MEMBER_U64),
	M(batch_spans_max, struct ship_otlp, MEMBER_U64),
	M(batch_bytes_max, struct ship_otlp, MEMBER_U64),
	M(queue_spans_max, struct ship_otlp, MEMBER_U64),
	M(queue_bytes_max, struct ship_otlp, MEMBER_U64),
	M(retry_ms, struct ship_otlp, MEMBER_U64),
	{ 0 },
};
static const struct member header_members[] = {
	M(name, struct ship_header, MEMBER_STRING),
	M(value, struct ship_header, MEMBER_STRING),
	{ 0 },
};

/*
 * JSON is UTF-8; paths and header values are any bytes. So each byte is one character, U+0001 to
 * U+00FF.
 */
static json_t *bytes_to_json(const char *text)
{
	char *chars = malloc(2 * strlen(text) + 1), *to = chars;
	json_t *string;

	if (!chars)
		return NULL;
	for (const char *c = text; *c; c++) {
		if (*c & 0x80)
			*to++ = (char)(0xc0 | (uint8_t)*c >> 6);
		*to++ = *c & 0x80 ? (char)(0x80 | (*c & 0x3f)) : *c;
	}
	*to = 0;
	string = json_string(chars);
	free(chars);
	return string;
}

/* The same, back. NULL: no memory. */
static char *bytes_from_json(const char *chars)
{
	char *text = malloc(strlen(chars) + 1), *to = text;

	if (!text)
		return NULL;
	while (*chars) {
		uint8_t c = (uint8_t)*chars++;

		if (c & 0x80 && *chars)
			c = (uint8_t)(c << 6 | (*chars++ & 0x3f));
		*to++ = (char)c;
	}
	*to = 0;
	return text;
}

static json_t *member_to_json(const struct member *m, const void *base)
{
	const void *at = (const char *)base + m->at;
	const char *text;

	switch (m->type) {
	case MEMBER_INT:
		return json_integer(*(const int *)at);
	case MEMBER_U32:
		return json_integer(*(const uint32_t *)at);
	case MEMBER_U64:
		return json_integer((json_int_t) * (const uint64_t *)at);
	case MEMBER_BOOL:
		return json_boolean(*(const bool *)at);
	case MEMBER_STRING:
		text = *(char *const *)at;
		return text ? bytes_to_json(text) : json_null();
	}
	return NULL;
}

static json_t *object_of(const struct member *members, const void *base)
{
	json_t *object = json_object();

	for (; members->name; members++)
		json_object_set_new(object, members->name, member_to_json(members, base));
	return object;
}

static json_t *sink_to_json(const struct ship_sink_config *sink)
{
	json_t *headers = json_array(), *object;

	switch (sink->type) {
	case SHIP_CONSOLE:
		object = object_of(console_members, &sink->console);
		break;
	case SHIP_FILE:
		object = object_of(file_members, &sink->file);
		break;
	case SHIP_STORE:
		object = object_of(store_members, &sink->store);
		break;
	default:
		object = object_of(otlp_members, &sink->otlp);
		for (uint32_t i = 0; i < sink->otlp.n_headers; i++)
			json_array_append_new(headers,
					      object_of(header_members, &sink->otlp.headers[i]));
	}
	json_object_set(object, "http_headers", headers);
	json_decref(headers);
	json_object_set_new(object, "type", json_integer(sink->type));
	json_object_set_new(object, "sink", json_string(sink->name));
	return object;
}

int ship_config__to_json(const struct ship_config *config, char **ret_json)
{
	json_t *root = json_object(), *sinks = json_array();
	char *text;

	for (uint32_t i = 0; i < config->n_sinks; i++)
		json_array_append_new(sinks, sink_to_json(&config->sinks[i]));
	json_object_set_new(root, "sinks", sinks);
	text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (!text)
		return -ENOMEM;
	*ret_json = text;
	return 0;
}

static int read_member(const struct member *m, const json_t *value, void *base)
{
	void *at = (char *)base + m->at;

	if (m->type == MEMBER_STRING) {
		if (json_is_null(value))
			return 0;
		if (!json_is_string(value))
			return -EINVAL;
		*(char **)at = bytes_from_json(json_string_value(value));
		return *(char **)at ? 0 : -ENOMEM;
	}
	if (m->type == MEMBER_BOOL) {
		*(bool *)at = json_is_true(value);
		return json_is_boolean(value) ? 0 : -EINVAL;
	}
	if (!json_is_integer(value))
		return -EINVAL;
	if (m->type == MEMBER_INT)
		*(int *)at = (int)json_integer_value(value);
	else if (m->type == MEMBER_U32)
		*(uint32_t *)at = (uint32_t)json_integer_value(value);
	else
		*(uint64_t *)at = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_object(const struct member *members, const json_t *object, void *base,
		       struct err *err)
{
	int ret = 0;

	for (; members->name && !ret; members++) {
		ret = read_member(members, json_object_get(object, members->name), base);
		if (ret)
			err__set(err, ret, "ship's configuration: %s is missing or of a wrong type",
				 members->name);
	}
	return ret;
}

static int sink_from_json(struct ship_config *config, const json_t *object, struct err *err)
{
	json_int_t type = json_integer_value(json_object_get(object, "type"));
	const char *name = json_string_value(json_object_get(object, "sink"));
	struct ship_sink_config *sink;
	json_t *header;
	size_t i;
	int ret;

	if (type < SHIP_CONSOLE || type > SHIP_STORE || !name)
		return err__set(err, -EINVAL,
				"ship's configuration: a sink has no type or no name");
	sink = ship_config__add(config, (enum ship_sink_type)type);
	if (!sink)
		return err__set(err, -EINVAL, "ship's configuration: more than %d sinks",
				SHIP_SINKS_MAX);
	snprintf(sink->name, sizeof(sink->name), "%s", name);
	if (type == SHIP_CONSOLE)
		return read_object(console_members, object, &sink->console, err);
	if (type == SHIP_FILE)
		return read_object(file_members, object, &sink->file, err);
	if (type == SHIP_STORE) {
		ret = read_object(store_members, object, &sink->store, err);
		if (!ret && !sink->store.folder)
			ret = err__set(err, -EINVAL, "ship's configuration: a store has no folder");
		return ret;
	}
	ret = read_object(otlp_members, object, &sink->otlp, err);
	if (!ret && !sink->otlp.endpoint)
		ret = err__set(err, -EINVAL, "ship's configuration: an OTLP sink has no endpoint");
	json_array_foreach(json_object_get(object, "http_headers"), i, header)
	{
		if (ret || sink->otlp.n_headers == SHIP_HEADERS_MAX)
			break;
		ret = read_object(header_members, header,
				  &sink->otlp.headers[sink->otlp.n_headers++], err);
	}
	return ret;
}

int ship_config__from_json(struct ship_config *ret_config, const char *json, size_t len,
			   struct err *err)
{
	struct ship_config config = { .n_sinks = 0 };
	json_error_t why;
	json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &why);
	json_t *sink;
	int ret = 0;
	size_t i;

	if (!root)
		return err__set(err, -EINVAL, "ship's configuration is no JSON: %s", why.text);
	json_array_foreach(json_object_get(root, "sinks"), i, sink)
	{
		ret = ret ? ret : sink_from_json(&config, sink, err);
	}
	json_decref(root);
	if (ret)
		ship_config__free(&config);
	else
		*ret_config = config;
	return ret;
}
