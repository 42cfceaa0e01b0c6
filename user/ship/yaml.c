// SPDX-License-Identifier: Apache-2.0
#include "ship/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct complaint {
	char text[256];
	size_t len;
};

static void on_complaint(struct fy_diag *diag, void *user, const char *text, size_t len)
{
	struct complaint *c = user;

	for (size_t i = 0; i < len && c->len < sizeof(c->text) - 1; i++)
		c->text[c->len++] = text[i] == '\n' ? ' ' : text[i];
	c->text[c->len] = 0;
}

int yaml__open(struct yaml *yaml, const char *text, size_t len, const char *name,
	       const struct otel_env *env, struct err *err)
{
	struct complaint complaint = { .len = 0 };
	struct fy_parse_cfg cfg = { .flags = FYPCF_RESOLVE_DOCUMENT | FYPCF_DISABLE_RECYCLING };
	struct fy_diag_cfg diag_cfg;

	fy_diag_cfg_default(&diag_cfg);
	diag_cfg.fp = NULL;
	diag_cfg.output_fn = on_complaint;
	diag_cfg.user = &complaint;
	diag_cfg.colorize = false;
	cfg.diag = fy_diag_create(&diag_cfg);
	if (!cfg.diag)
		return -ENOMEM;
	*yaml = (struct yaml){ .name = name, .env = env, .err = err };
	yaml->document = fy_document_build_from_string(&cfg, text, len);
	fy_diag_destroy(cfg.diag);
	if (!yaml->document)
		return err__set(err, -EINVAL, "%s is no YAML: %s", name,
				complaint.len ? complaint.text : "it cannot be parsed");
	if (!fy_document_root(yaml->document)) {
		yaml__close(yaml);
		return err__set(err, -EINVAL, "%s is empty", name);
	}
	return 0;
}

void yaml__close(struct yaml *yaml)
{
	if (yaml->document)
		fy_document_destroy(yaml->document);
	yaml->document = NULL;
}

int yaml__wrong(struct yaml *yaml, struct fy_node *node, const char *why)
{
	char *path = node ? fy_node_get_path(node) : NULL;

	err__set(yaml->err, -EINVAL, "%s: %.200s: %s", yaml->name, path ? path : "/", why);
	free(path);
	return -EINVAL;
}

static bool is_null(struct fy_node *node)
{
	const char *text;
	size_t len;

	if (!node)
		return true;
	if (!fy_node_is_scalar(node) || fy_node_get_style(node) != FYNS_PLAIN)
		return false;
	text = fy_node_get_scalar(node, &len);
	return !text || !len || (len == 1 && *text == '~') ||
	       (len == 4 && !strncasecmp(text, "null", 4));
}

struct fy_node *yaml__get(struct yaml *yaml, struct fy_node *node, const char *key)
{
	struct fy_node_pair *pair;
	void *at = NULL;

	if (!node || !fy_node_is_mapping(node))
		return NULL;
	while ((pair = fy_node_mapping_iterate(node, &at))) {
		size_t len = 0;
		const char *name = fy_node_get_scalar(fy_node_pair_key(pair), &len);

		if (name && strlen(key) == len && !memcmp(name, key, len))
			return is_null(fy_node_pair_value(pair)) ? NULL : fy_node_pair_value(pair);
	}
	return NULL;
}

int yaml__only(struct yaml *yaml, struct fy_node *node, char key[64], struct fy_node **ret_value)
{
	struct fy_node_pair *pair;
	const char *name;
	void *at = NULL;
	size_t len = 0;

	if (!fy_node_is_mapping(node) || fy_node_mapping_item_count(node) != 1)
		return yaml__wrong(yaml, node, "exactly one key is wanted here");
	pair = fy_node_mapping_iterate(node, &at);
	name = fy_node_get_scalar(fy_node_pair_key(pair), &len);
	if (!name || len >= 64)
		return yaml__wrong(yaml, node, "this is no key");
	memcpy(key, name, len);
	key[len] = 0;
	*ret_value = is_null(fy_node_pair_value(pair)) ? NULL : fy_node_pair_value(pair);
	return 0;
}

static bool name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool name_char(char c)
{
	return name_start(c) || (c >= '0' && c <= '9');
}

/*
 * One reference at text (behind its "${"): NAME, env:NAME, with :-default. Returns its length with
 * the closing brace, 0 where it is none.
 */
static size_t replace_reference(struct yaml *yaml, const char *text, const char *end,
				struct buf *out)
{
	const char *at = text, *close = memchr(text, '}', (size_t)(end - text));
	const char *value;
	char name[256];
	size_t n = 0;

	if (!close)
		return 0;
	if (close - at > 4 && !strncmp(at, "env:", 4))
		at += 4;
	while (at + n < close && name_char(at[n]))
		n++;
	if (!n || n >= sizeof(name) || !name_start(*at))
		return 0;
	if (at + n != close && (close - at - n < 2 || strncmp(at + n, ":-", 2) ||
				memchr(at, '\n', (size_t)(close - at))))
		return 0;
	memcpy(name, at, n);
	name[n] = 0;
	value = otel_env__get(yaml->env, name);
	if (value)
		buf__add_str(out, value);
	else if (at + n != close)
		buf__add(out, at + n + 2, (size_t)(close - at - n - 2));
	return (size_t)(close - text) + 1;
}

/* The scalar's text with references replaced, once: what comes out is not looked at again. */
static int substitute(struct yaml *yaml, struct fy_node *node, struct buf *out)
{
	size_t len = 0, n;
	const char *text = fy_node_get_scalar(node, &len), *end = text + len;

	while (text < end) {
		if (*text != '$' || text + 1 == end) {
			buf__add(out, text++, 1);
		} else if (text[1] == '$') {
			buf__add(out, "$", 1);
			text += 2;
		} else if (text[1] == '{') {
			n = replace_reference(yaml, text + 2, end, out);
			if (!n)
				return yaml__wrong(
					yaml, node,
					"this is no reference to a variable: write "
					"${NAME} or ${NAME:-default}, and $$ for a dollar sign");
			text += 2 + n;
		} else {
			buf__add(out, text++, 1);
		}
	}
	buf__add(out, "", 1);
	return out->err;
}

/* *ret_text: malloc'd, NULL where there is nothing. plain: a number or boolean may be meant. */
static int scalar(struct yaml *yaml, struct fy_node *node, const char *key, char **ret_text,
		  bool *ret_plain, struct fy_node **ret_node)
{
	struct fy_node *value = yaml__get(yaml, node, key);
	struct buf text = { 0 };
	int ret;

	*ret_text = NULL;
	*ret_node = value;
	if (!value)
		return 0;
	if (!fy_node_is_scalar(value))
		return yaml__wrong(yaml, value, "a plain value is wanted here");
	*ret_plain = fy_node_get_style(value) == FYNS_PLAIN;
	ret = substitute(yaml, value, &text);
	if (ret || (*ret_plain && (!*text.at || !strcasecmp((char *)text.at, "null"))))
		buf__free(&text); /* an unset variable is null */
	else
		*ret_text = (char *)text.at;
	return ret;
}

int yaml__string(struct yaml *yaml, struct fy_node *node, const char *key, char **ret)
{
	struct fy_node *value;
	char *text;
	bool plain;
	int err = scalar(yaml, node, key, &text, &plain, &value);

	if (err || !text)
		return err;
	free(*ret);
	*ret = text;
	return 0;
}

int yaml__number(struct yaml *yaml, struct fy_node *node, const char *key, uint64_t max,
		 uint64_t *ret)
{
	unsigned long long n = 0;
	struct fy_node *value;
	char *text, *end;
	bool plain;
	int err = scalar(yaml, node, key, &text, &plain, &value);

	if (err || !text)
		return err;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (!plain || *text < '0' || *text > '9' || *end || errno)
		err = yaml__wrong(yaml, value,
				  "a whole number that is not negative is wanted here");
	else
		*ret = n < max ? n : max;
	free(text);
	return err;
}

int yaml__ratio(struct yaml *yaml, struct fy_node *node, const char *key, double *ret)
{
	struct fy_node *value;
	char *text;
	bool plain;
	int err = scalar(yaml, node, key, &text, &plain, &value);

	if (err || !text)
		return err;
	if (!plain || !otel_ratio__parse(text, ret))
		err = yaml__wrong(yaml, value, "a number from 0 to 1 is wanted here");
	free(text);
	return err;
}

int yaml__bool(struct yaml *yaml, struct fy_node *node, const char *key, bool *ret)
{
	struct fy_node *value;
	char *text;
	bool plain;
	int err = scalar(yaml, node, key, &text, &plain, &value);

	if (err || !text)
		return err;
	if (plain && !strcasecmp(text, "true"))
		*ret = true;
	else if (plain && !strcasecmp(text, "false"))
		*ret = false;
	else
		err = yaml__wrong(yaml, value, "true or false is wanted here");
	free(text);
	return err;
}
