// SPDX-License-Identifier: Apache-2.0
#include "serve/config.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

#define CONFIG_MAX_BYTES (1u << 20)

#define TOKEN_MIN 16
#define TOKEN_MAX 1024

int serve_config__to_json(const struct serve_config *config, char **ret_json)
{
	json_t *hosts = json_array(), *root;

	for (unsigned int i = 0; i < config->n_hosts; i++)
		json_array_append_new(hosts, json_string(config->hosts[i]));
	root = json_pack("{s:s, s:s?, s:o}", "folder", config->folder, "token", config->token,
			 "hosts", hosts);
	if (!root)
		return -EINVAL;
	*ret_json = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	return *ret_json ? 0 : -ENOMEM;
}

int serve_config__add_host(struct serve_config *config, const char *host, size_t len)
{
	char *copy;

	if (config->n_hosts == SERVE_HOSTS_MAX)
		return -ENOSPC;
	copy = strndup(host, len);
	if (!copy)
		return -ENOMEM;
	config->hosts[config->n_hosts++] = copy;
	return 0;
}

int serve_config__from_json(struct serve_config *ret, const char *json, size_t len, struct err *err)
{
	json_t *root = json_loadb(json, len, 0, NULL), *host;
	const char *folder = json_string_value(json_object_get(root, "folder"));
	const char *token = json_string_value(json_object_get(root, "token"));
	size_t i;
	int bad = 0;

	*ret = (struct serve_config){ 0 };
	if (!folder) {
		json_decref(root);
		return err__set(err, -EINVAL, "the configuration cannot be read");
	}
	ret->folder = strdup(folder);
	ret->token = token ? strdup(token) : NULL;
	if (!ret->folder || (token && !ret->token))
		bad = -ENOMEM;
	json_array_foreach(json_object_get(root, "hosts"), i,
			   host) if (!bad && json_is_string(host)) bad =
		serve_config__add_host(ret, json_string_value(host), json_string_length(host));
	json_decref(root);
	if (!bad)
		return 0;
	serve_config__free(ret);
	return err__set(err, bad, "the configuration cannot be kept: %s", strerror(-bad));
}

int serve_config__take(struct serve_config *ret, int fd, struct err *err)
{
	struct buf text = { .max = CONFIG_MAX_BYTES };
	int bad = buf__read(&text, fd);

	if (!bad)
		bad = serve_config__from_json(ret, (const char *)text.at, text.len, err);
	buf__free(&text);
	close(fd);
	return bad;
}

int serve_config__read_token(const char *path, const char *variable, char **ret, struct err *err)
{
	char line[TOKEN_MAX + 2] = "";
	const char *text = getenv(variable);
	FILE *f;

	*ret = NULL;
	if (path) {
		f = fopen(path, "re");
		if (!f)
			return err__set(err, -errno, "cannot read the token from %s: %s", path,
					strerror(errno));
		if (!fgets(line, sizeof(line), f))
			line[0] = 0;
		fclose(f);
		line[strcspn(line, "\r\n")] = 0;
		text = line;
	}
	if (!text)
		return 0;
	if (strlen(text) < TOKEN_MIN || strlen(text) > TOKEN_MAX ||
	    strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=") !=
		    strlen(text))
		return err__set(err, -EINVAL,
				"the token of %s is none: it needs %d to %d letters, digits or "
				"-._~+/=; make one: head -c 24 /dev/urandom | base64",
				path ? path : variable, TOKEN_MIN, TOKEN_MAX);
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

void serve_config__free(struct serve_config *config)
{
	free(config->folder);
	free(config->token);
	for (unsigned int i = 0; i < config->n_hosts; i++)
		free(config->hosts[i]);
	*config = (struct serve_config){ 0 };
}
