// SPDX-License-Identifier: Apache-2.0
/* OTEL_CONFIG_FILE: opentelemetry-configuration schema 1.1, as far as spans are concerned. */
#include "ship/ship.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ship/config.h"
#include "ship/yaml.h"

struct reader {
	struct yaml yaml;
	struct ship_config *config;
	struct ship_file_settings *settings;
	struct otel_warnings *warnings;
	int console_fd;
};

static int read_headers(struct reader *r, struct ship_otlp *otlp, struct fy_node *node)
{
	struct fy_node *headers = yaml__get(&r->yaml, node, "headers"), *header;
	char *list = NULL, *name = NULL, *value = NULL;
	void *at = NULL;
	int ret = yaml__string(&r->yaml, node, "headers_list", &list);

	if (!ret && list)
		ret = config__add_header_list(otlp, "headers_list", list, r->warnings);
	if (!ret && headers && !fy_node_is_sequence(headers))
		ret = yaml__wrong(&r->yaml, headers, "a list of {name, value} is wanted here");
	while (!ret && headers && (header = fy_node_sequence_iterate(headers, &at))) {
		free(name);
		free(value);
		name = value = NULL;
		ret = yaml__string(&r->yaml, header, "name", &name);
		if (!ret)
			ret = yaml__string(&r->yaml, header, "value", &value);
		if (!ret && !name)
			ret = yaml__wrong(&r->yaml, header, "a header needs a name");
		if (!ret && value) /* null: ignored */
			ret = config__add_header(otlp, name, value, r->warnings);
	}
	free(list);
	free(name);
	free(value);
	return ret;
}

static int read_compression(struct reader *r, struct ship_otlp *otlp, struct fy_node *node)
{
	static const char *const names[] = {
		[SHIP_PLAIN] = "none", [SHIP_GZIP] = "gzip", [SHIP_ZSTD] = "zstd"
	};
	char *text = NULL;
	int ret = yaml__string(&r->yaml, node, "compression", &text);

	for (int i = 0; !ret && text && i < 3; i++) {
		if (!strcmp(text, names[i])) {
			otlp->compression = (enum ship_compression)i;
			free(text);
			return 0;
		}
	}
	if (!ret && text)
		ret = yaml__wrong(&r->yaml, yaml__get(&r->yaml, node, "compression"),
				  "none, gzip or zstd is wanted here");
	free(text);
	return ret;
}

/* What both transports share. */
static int read_otlp(struct reader *r, struct ship_otlp *otlp, struct fy_node *node)
{
	struct fy_node *tls = yaml__get(&r->yaml, node, "tls");
	int ret;

	ret = yaml__string(&r->yaml, tls, "ca_file", &otlp->ca_file);
	if (!ret)
		ret = yaml__string(&r->yaml, tls, "cert_file", &otlp->cert_file);
	if (!ret)
		ret = yaml__string(&r->yaml, tls, "key_file", &otlp->key_file);
	if (!ret)
		ret = yaml__number(&r->yaml, node, "timeout", SHIP_DURATION_MAX_MS,
				   &otlp->timeout_ms);
	if (!ret)
		ret = read_compression(r, otlp, node);
	if (!ret)
		ret = read_headers(r, otlp, node);
	if (!ret && !otlp->cert_file != !otlp->key_file)
		ret = yaml__wrong(&r->yaml, tls, "cert_file and key_file belong together");
	return ret ? ret : ship_otlp__read_files(otlp, r->yaml.err);
}

static int check_endpoint(struct reader *r, struct fy_node *node, const char *url)
{
	char *path = node ? fy_node_get_path(node) : NULL;
	char where[256];
	int ret;

	snprintf(where, sizeof(where), "%s: %s/endpoint", r->yaml.name, path ? path : "");
	ret = config__check_url(url, where, r->yaml.err);
	free(path);
	return ret;
}

static int read_otlp_http(struct reader *r, struct ship_otlp *otlp, struct fy_node *node)
{
	char *encoding = NULL;
	int ret = config__set(&otlp->endpoint, "http://localhost:4318/v1/traces");

	if (!ret)
		ret = yaml__string(&r->yaml, node, "endpoint", &otlp->endpoint);
	if (!ret)
		ret = check_endpoint(r, node, otlp->endpoint);
	if (!ret)
		ret = yaml__string(&r->yaml, node, "encoding", &encoding);
	otlp->protocol =
		encoding && !strcmp(encoding, "json") ? SHIP_HTTP_JSON : SHIP_HTTP_PROTOBUF;
	if (!ret && encoding && strcmp(encoding, "json") && strcmp(encoding, "protobuf"))
		ret = yaml__wrong(&r->yaml, yaml__get(&r->yaml, node, "encoding"),
				  "protobuf or json is wanted here");
	free(encoding);
	return ret ? ret : read_otlp(r, otlp, node);
}

static int read_otlp_grpc(struct reader *r, struct ship_otlp *otlp, struct fy_node *node)
{
	struct buf url = { 0 };
	bool insecure = false;
	char *endpoint = NULL;
	int ret = yaml__string(&r->yaml, node, "endpoint", &endpoint);

	if (!ret)
		ret = yaml__bool(&r->yaml, yaml__get(&r->yaml, node, "tls"), "insecure", &insecure);
	if (!ret && endpoint && !strstr(endpoint, "://"))
		buf__add_str(&url, insecure ? "http://" : "https://");
	buf__add_str(&url, endpoint ? endpoint : "http://localhost:4317");
	buf__add(&url, "", 1);
	if (!ret)
		ret = url.err ? url.err : check_endpoint(r, node, (const char *)url.at);
	otlp->protocol = SHIP_GRPC;
	if (!ret)
		ret = config__set_grpc(otlp, (const char *)url.at);
	buf__free(&url);
	free(endpoint);
	return ret ? ret : read_otlp(r, otlp, node);
}

static int read_otlp_file(struct reader *r, struct ship_file *file, struct fy_node *node)
{
	char *stream = NULL;
	int ret = yaml__string(&r->yaml, node, "output_stream", &stream);

	file->fd = r->console_fd;
	if (!ret && stream && !strncmp(stream, "file://", 7)) {
		file->fd = open(stream + 7, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (file->fd < 0)
			ret = err__set(r->yaml.err, -errno,
				       "%s: output_stream %.200s cannot be opened: %s",
				       r->yaml.name, stream, strerror(errno));
	} else if (!ret && stream && strcmp(stream, "stdout")) {
		ret = yaml__wrong(&r->yaml, yaml__get(&r->yaml, node, "output_stream"),
				  "stdout or file:///path is wanted here");
	}
	free(stream);
	return ret;
}

static struct ship_sink_config *add_sink(struct reader *r, struct fy_node *node,
					 enum ship_sink_type type)
{
	struct ship_sink_config *sink = ship_config__add(r->config, type);

	if (!sink)
		yaml__wrong(&r->yaml, node, "there are too many exporters");
	return sink;
}

static int read_exporter(struct reader *r, struct fy_node *node, struct ship_otlp **ret_otlp)
{
	struct ship_sink_config *sink;
	struct fy_node *value;
	enum ship_sink_type type;
	char key[64];
	int ret;

	*ret_otlp = NULL;
	if (!node)
		return yaml__wrong(&r->yaml, node, "a processor without an exporter");
	ret = yaml__only(&r->yaml, node, key, &value);
	if (ret)
		return ret;
	if (!strcmp(key, "otlp_http") || !strcmp(key, "otlp_grpc")) {
		type = SHIP_OTLP;
	} else if (!strcmp(key, "console")) {
		type = SHIP_CONSOLE;
	} else if (!strcmp(key, "otlp_file/development")) {
		type = SHIP_FILE;
	} else {
		otel_warn(r->warnings,
			  "%.80s: the exporter %s is not known (otlp_http, otlp_grpc, "
			  "otlp_file/development, console): passed over",
			  r->yaml.name, key);
		return 0;
	}
	sink = add_sink(r, node, type);
	if (!sink)
		return -EINVAL;
	if (type == SHIP_FILE)
		return read_otlp_file(r, &sink->file, value);
	if (type == SHIP_CONSOLE) {
		sink->console.fd = r->console_fd;
		ship_console__look(&sink->console);
		return 0;
	}
	*ret_otlp = &sink->otlp;
	return !strcmp(key, "otlp_http") ? read_otlp_http(r, &sink->otlp, value) :
					   read_otlp_grpc(r, &sink->otlp, value);
}

static int read_batch(struct reader *r, struct ship_otlp *otlp, struct fy_node *node)
{
	uint64_t timeout = otlp->retry_ms;
	int ret = yaml__number(&r->yaml, node, "schedule_delay", SHIP_DURATION_MAX_MS,
			       &otlp->delay_ms);

	if (!ret)
		ret = yaml__number(&r->yaml, node, "export_timeout", SHIP_DURATION_MAX_MS,
				   &timeout);
	if (!ret)
		ret = yaml__number(&r->yaml, node, "max_queue_size", 1u << 30,
				   &otlp->queue_spans_max);
	if (!ret)
		ret = yaml__number(&r->yaml, node, "max_export_batch_size", 1u << 30,
				   &otlp->batch_spans_max);
	if (ret)
		return ret;
	if (!otlp->batch_spans_max)
		return yaml__wrong(&r->yaml, node, "max_export_batch_size must not be 0");
	otlp->retry_ms = timeout ? timeout : SHIP_FOREVER_MS;
	if (otlp->queue_spans_max && otlp->batch_spans_max > otlp->queue_spans_max)
		otlp->batch_spans_max = otlp->queue_spans_max;
	return 0;
}

static int read_processor(struct reader *r, struct fy_node *node)
{
	struct fy_node *value;
	struct ship_otlp *otlp;
	char key[64];
	int ret = yaml__only(&r->yaml, node, key, &value);

	if (ret)
		return ret;
	if (strcmp(key, "batch") && strcmp(key, "simple")) {
		otel_warn(r->warnings,
			  "%.80s: the processor %s is not known (batch, simple): passed over",
			  r->yaml.name, key);
		return 0;
	}
	ret = read_exporter(r, yaml__get(&r->yaml, value, "exporter"), &otlp);
	if (ret || !otlp)
		return ret;
	if (!strcmp(key, "batch"))
		return read_batch(r, otlp, value);
	otlp->delay_ms = 0;
	return 0;
}

/* What samples a span without a parent, as the kind without "parent based". */
static int read_root_sampler(struct reader *r, struct fy_node *node, struct otel_sampler *sampler)
{
	struct fy_node *value;
	char key[64];
	int ret = yaml__only(&r->yaml, node, key, &value);

	if (ret)
		return ret;
	sampler->ratio = 1;
	if (!strcmp(key, "always_on")) {
		sampler->kind = OTEL_SAMPLER_ALWAYS_ON;
	} else if (!strcmp(key, "always_off")) {
		sampler->kind = OTEL_SAMPLER_ALWAYS_OFF;
	} else if (!strcmp(key, "trace_id_ratio_based") ||
		   !strcmp(key, "probability/development")) {
		sampler->kind = OTEL_SAMPLER_RATIO;
		return yaml__ratio(&r->yaml, value, "ratio", &sampler->ratio);
	} else {
		return yaml__wrong(
			&r->yaml, node,
			"the sampler is not known (always_on, always_off, trace_id_ratio_based, "
			"probability/development, parent_based)");
	}
	return 0;
}

static int read_sampler(struct reader *r, struct fy_node *node)
{
	static const enum otel_sampler_kind under_parent[] = {
		[OTEL_SAMPLER_ALWAYS_ON] = OTEL_SAMPLER_PARENT_ALWAYS_ON,
		[OTEL_SAMPLER_ALWAYS_OFF] = OTEL_SAMPLER_PARENT_ALWAYS_OFF,
		[OTEL_SAMPLER_RATIO] = OTEL_SAMPLER_PARENT_RATIO,
	};
	struct otel_sampler *sampler = &r->settings->sampler;
	struct fy_node *value, *root;
	char key[64];
	int ret;

	*sampler = (struct otel_sampler){ OTEL_SAMPLER_PARENT_ALWAYS_ON, 1 };
	if (!node)
		return 0;
	r->settings->has_sampler = true;
	ret = yaml__only(&r->yaml, node, key, &value);
	if (ret || strcmp(key, "parent_based"))
		return ret ? ret : read_root_sampler(r, node, sampler);
	root = yaml__get(&r->yaml, value, "root");
	if (!root)
		return 0;
	ret = read_root_sampler(r, root, sampler);
	if (!ret)
		sampler->kind = under_parent[sampler->kind];
	return ret;
}

static int read_attribute(struct reader *r, struct fy_node *node)
{
	struct otel_pairs *pairs = &r->settings->resource;
	char *name = NULL, *value = NULL;
	int ret = yaml__string(&r->yaml, node, "name", &name);

	if (!ret && !name)
		ret = yaml__wrong(&r->yaml, node, "an attribute needs a name");
	if (!ret && yaml__get(&r->yaml, node, "value") &&
	    fy_node_is_sequence(yaml__get(&r->yaml, node, "value")))
		otel_warn(r->warnings, "%.80s: resource attribute %.60s is a list: passed over",
			  r->yaml.name, name);
	else if (!ret)
		ret = yaml__string(&r->yaml, node, "value", &value);
	if (!ret && value)
		ret = otel_pairs__set(pairs, view_of(name), view_of(value));
	free(name);
	free(value);
	return ret;
}

static int read_resource(struct reader *r, struct fy_node *node)
{
	struct fy_node *attributes = yaml__get(&r->yaml, node, "attributes"), *attribute;
	char *list = NULL;
	void *at = NULL;
	int ret = yaml__string(&r->yaml, node, "attributes_list", &list);

	if (!ret && list && otel_pairs__parse(&r->settings->resource, list))
		otel_warn(r->warnings,
			  "%.80s: resource.attributes_list is not of the form k=v,k2=v2: ignored",
			  r->yaml.name);
	free(list);
	if (!ret && attributes && !fy_node_is_sequence(attributes))
		ret = yaml__wrong(&r->yaml, attributes, "a list of {name, value} is wanted here");
	while (!ret && attributes && (attribute = fy_node_sequence_iterate(attributes, &at)))
		ret = read_attribute(r, attribute);
	return ret;
}

static int check_format(struct reader *r, struct fy_node *root)
{
	char *format = NULL;
	int ret = yaml__string(&r->yaml, root, "file_format", &format);

	if (!ret && !format)
		ret = yaml__wrong(&r->yaml, root,
				  "file_format is missing: write file_format: \"1.1\"");
	else if (!ret && strncmp(format, "1.", 2))
		ret = yaml__wrong(&r->yaml, yaml__get(&r->yaml, root, "file_format"),
				  "only 1.x is understood");
	free(format);
	return ret;
}

static int read_root(struct reader *r)
{
	struct fy_node *root = fy_document_root(r->yaml.document), *provider, *processors,
		       *processor;
	void *at = NULL;
	int ret;

	if (!fy_node_is_mapping(root))
		return yaml__wrong(&r->yaml, root, "a mapping is wanted here");
	ret = check_format(r, root);
	if (!ret)
		ret = yaml__bool(&r->yaml, root, "disabled", &r->settings->disabled);
	if (!ret)
		ret = read_resource(r, yaml__get(&r->yaml, root, "resource"));
	provider = yaml__get(&r->yaml, root, "tracer_provider");
	if (!ret)
		ret = read_sampler(r, yaml__get(&r->yaml, provider, "sampler"));
	processors = yaml__get(&r->yaml, provider, "processors");
	if (!ret && processors && !fy_node_is_sequence(processors))
		ret = yaml__wrong(&r->yaml, processors, "a list of processors is wanted here");
	while (!ret && processors && (processor = fy_node_sequence_iterate(processors, &at)))
		ret = read_processor(r, processor);
	return ret;
}

int ship__from_file(struct ship_config *config, struct ship_file_settings *ret_settings,
		    const char *text, size_t len, const char *name, const struct otel_env *env,
		    int console_fd, struct otel_warnings *warnings, struct err *err)
{
	struct ship_file_settings settings = { .disabled = false };
	struct reader r = { .config = config,
			    .settings = &settings,
			    .warnings = warnings,
			    .console_fd = console_fd };
	int ret = yaml__open(&r.yaml, text, len, name, env, err);

	if (ret)
		return ret;
	ret = read_root(&r);
	yaml__close(&r.yaml);
	if (ret) {
		otel_pairs__free(&settings.resource);
		return ret;
	}
	*ret_settings = settings;
	return 0;
}
