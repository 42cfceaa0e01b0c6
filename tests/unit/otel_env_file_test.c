// SPDX-License-Identifier: Apache-2.0
/* Protects: OTEL_CONFIG_FILE as its schema says; a wrong file is refused with its place and reason. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ship/ship.h"

static const char *variable(void *arg, const char *name)
{
	if (!strcmp(name, "HOST"))
		return "collector";
	if (!strcmp(name, "DELAY"))
		return "250";
	if (!strcmp(name, "REFERENCE"))
		return "${HOST}";
	if (!strcmp(name, "TRUE"))
		return "true";
	return !strcmp(name, "EMPTY") ? "" : NULL;
}
static const struct otel_env env = { variable, NULL };

struct read {
	struct ship_config config;
	struct ship_file_settings settings;
	struct otel_warnings warnings;
	struct err err;
	int ret;
};

static void read_file(struct read *r, const char *text)
{
	memset(r, 0, sizeof(*r));
	r->ret = ship__from_file(&r->config, &r->settings, text, strlen(text), "otel.yaml", &env, 9,
				 &r->warnings, &r->err);
}

static void done(struct read *r)
{
	ship_config__free(&r->config);
	if (!r->ret)
		otel_pairs__free(&r->settings.resource);
}

static void everything(void **state)
{
	const struct ship_otlp *o;
	struct read r;

	read_file(&r, "file_format: \"1.1\"\n"
		      "disabled: ${TRUE}\n"
		      "log_level: info\n"
		      "resource:\n"
		      "  attributes_list: a=1,b=2\n"
		      "  attributes:\n"
		      "    - name: b\n"
		      "      value: 3\n"
		      "      type: int\n"
		      "    - {name: service.name, value: \"${UNSET:-web shop}\"}\n"
		      "    - {name: list, value: [x], type: string_array}\n"
		      "tracer_provider:\n"
		      "  sampler:\n"
		      "    parent_based:\n"
		      "      root:\n"
		      "        trace_id_ratio_based:\n"
		      "          ratio: 0.25\n"
		      "  processors:\n"
		      "    - batch:\n"
		      "        schedule_delay: ${DELAY}\n"
		      "        export_timeout: 0\n"
		      "        max_queue_size: 100\n"
		      "        max_export_batch_size: 500\n"
		      "        exporter:\n"
		      "          otlp_http:\n"
		      "            endpoint: https://${HOST}:4318/v1/traces\n"
		      "            tls: {ca_file: /proc/self/status, cert_file: /dev/null, "
		      "key_file: /dev/null}\n"
		      "            headers:\n"
		      "              - {name: k, value: \"$$HOST ${env:HOST}\"}\n"
		      "              - {name: nothing, value: }\n"
		      "            headers_list: \"k=low,l=x%20y\"\n"
		      "            compression: zstd\n"
		      "            timeout: 1500\n"
		      "            encoding: json\n"
		      "    - simple:\n"
		      "        exporter: {otlp_grpc: {endpoint: \"h:1\", tls: {insecure: true}}}\n"
		      "    - batch:\n"
		      "        exporter: {otlp_grpc: }\n"
		      "    - simple:\n"
		      "        exporter: {console: {}}\n"
		      "    - batch:\n"
		      "        exporter: {otlp_file/development: {output_stream: stdout}}\n"
		      "    - batch: {exporter: {zipkin: {}}}\n"
		      "    - mine: {}\n");
	assert_string_equal(r.err.text, "");
	assert_int_equal(r.ret, 0);
	assert_true(r.settings.disabled && r.settings.has_sampler);
	assert_int_equal(r.settings.sampler.kind, OTEL_SAMPLER_PARENT_RATIO);
	assert_true(r.settings.sampler.ratio == 0.25);
	assert_string_equal(otel_pairs__get(&r.settings.resource, "a"), "1");
	assert_string_equal(otel_pairs__get(&r.settings.resource, "b"), "3");
	assert_string_equal(otel_pairs__get(&r.settings.resource, "service.name"), "web shop");
	assert_int_equal(r.warnings.n, 3); /* the list, zipkin, mine */
	assert_int_equal(r.config.n_sinks, 5);
	o = &r.config.sinks[0].otlp;
	assert_string_equal(o->endpoint, "https://collector:4318/v1/traces");
	assert_true(o->protocol == SHIP_HTTP_JSON && o->compression == SHIP_ZSTD &&
		    o->timeout_ms == 1500);
	assert_true(o->delay_ms == 250 && o->queue_spans_max == 100 && o->batch_spans_max == 100);
	assert_true(o->retry_ms == SHIP_FOREVER_MS);
	assert_string_equal(o->ca_file, "/proc/self/status");
	assert_non_null(strstr(o->ca_pem, "Threads:"));
	assert_string_equal(o->cert_file, "/dev/null");
	assert_string_equal(o->key_pem, "");
	assert_int_equal(o->n_headers, 2);
	assert_string_equal(o->headers[0].value, "$HOST collector");
	assert_string_equal(o->headers[1].value, "x y");
	o = &r.config.sinks[1].otlp;
	assert_true(!strncmp(o->endpoint, "http://h:1/opentelemetry", 24) &&
		    o->protocol == SHIP_GRPC && !o->delay_ms);
	o = &r.config.sinks[2].otlp;
	assert_true(!strncmp(o->endpoint, "http://localhost:4317/opentelemetry", 35) &&
		    o->delay_ms == 800);
	assert_true(r.config.sinks[3].type == SHIP_CONSOLE && r.config.sinks[3].console.fd == 9);
	assert_true(r.config.sinks[4].type == SHIP_FILE && r.config.sinks[4].file.fd == 9);
	done(&r);
}

static void the_least(void **state)
{
	struct read r;

	read_file(&r, "file_format: 1.0\n");
	assert_int_equal(r.ret, 0);
	assert_int_equal(r.config.n_sinks, 0);
	assert_true(!r.settings.disabled && !r.settings.has_sampler);
	assert_int_equal(r.settings.sampler.kind, OTEL_SAMPLER_PARENT_ALWAYS_ON);
	done(&r);
}

#define HEAD "file_format: \"1.0\"\ntracer_provider:\n"

static void samplers(void **state)
{
	static const struct {
		const char *text;
		enum otel_sampler_kind kind;
		double ratio;
	} cases[] = {
		{ "always_on: ", OTEL_SAMPLER_ALWAYS_ON, 1 },
		{ "always_off: {}", OTEL_SAMPLER_ALWAYS_OFF, 1 },
		{ "trace_id_ratio_based: ", OTEL_SAMPLER_RATIO, 1 },
		{ "probability/development: {ratio: 0.5}", OTEL_SAMPLER_RATIO, 0.5 },
		{ "parent_based: ", OTEL_SAMPLER_PARENT_ALWAYS_ON, 1 },
		{ "parent_based: {root: {always_off: }}", OTEL_SAMPLER_PARENT_ALWAYS_OFF, 1 },
		{ "parent_based: {root: {always_on: }}", OTEL_SAMPLER_PARENT_ALWAYS_ON, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[256];
		struct read r;

		snprintf(text, sizeof(text), HEAD "  sampler:\n    %s\n", cases[i].text);
		read_file(&r, text);
		assert_int_equal(r.ret, 0);
		assert_int_equal(r.settings.sampler.kind, cases[i].kind);
		assert_true(r.settings.sampler.ratio == cases[i].ratio);
		done(&r);
	}
}

static void references(void **state)
{
	static const struct {
		const char *text, *value; /* NULL: the file is refused */
	} cases[] = {
		{ "${HOST}", "collector" },
		{ "a${HOST}b", "acollectorb" },
		{ "${env:HOST}", "collector" },
		{ "${HOST:-x}", "collector" },
		{ "${EMPTY:-x}", "x" },
		{ "${UNSET:-}y", "y" },
		{ "${REFERENCE}", "${HOST}" },
		{ "$HOST", "$HOST" },
		{ "$${HOST}", "${HOST}" },
		{ "$$$${HOST}", "$${HOST}" },
		{ "$$${HOST}", "$collector" },
		{ "a$", "a$" },
		{ "${UNSET:-a:-b}", "a:-b" },
		{ "\"${UNSET}\"", "" },
		{ "${}", NULL },
		{ "${HOST", NULL },
		{ "${1HOST}", NULL },
		{ "${HOST?x}", NULL },
		{ "${other:HOST}", NULL },
		{ "${HOST:x}", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[256];
		struct read r;

		snprintf(text, sizeof(text),
			 "file_format: \"1.0\"\nresource:\n  attributes:\n    - name: k\n      "
			 "value: %s\n",
			 cases[i].text);
		read_file(&r, text);
		if (r.ret != (cases[i].value ? 0 : -EINVAL))
			fail_msg("%s: %d %s", cases[i].text, r.ret, r.err.text);
		if (cases[i].value)
			assert_string_equal(otel_pairs__get(&r.settings.resource, "k"),
					    cases[i].value);
		else
			assert_non_null(strstr(
				r.err.text,
				"otel.yaml: /resource/attributes/0/value: this is no reference"));
		done(&r);
	}
}

static void refused(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "", "otel.yaml" },
		{ "x: [", "is no YAML" },
		{ "- a\n", "a mapping is wanted" },
		{ "a: 1\n", "file_format is missing" },
		{ "file_format: \"0.4\"\n", "/file_format: only 1.x" },
		{ "file_format: \"1.0\"\ndisabled: maybe\n", "/disabled: true or false" },
		{ "file_format: \"1.0\"\ndisabled: \"true\"\n", "/disabled: true or false" },
		{ "file_format: [1]\n", "/file_format: a plain value" },
		{ HEAD "  processors: {}\n", "/processors: a list" },
		{ HEAD "  processors:\n    - a: 1\n      b: 2\n",
		  "/processors/0: exactly one key" },
		{ HEAD "  processors:\n    - batch: {}\n", "without an exporter" },
		{ HEAD
		  "  processors:\n    - batch: {schedule_delay: -1, exporter: {otlp_http: }}\n",
		  "/schedule_delay: a whole number" },
		{ HEAD
		  "  processors:\n    - batch: {schedule_delay: \"1\", exporter: {otlp_http: }}\n",
		  "/schedule_delay: a whole number" },
		{ HEAD "  processors:\n    - batch: {max_export_batch_size: 0, exporter: "
		       "{otlp_http: }}\n",
		  "must not be 0" },
		{ HEAD "  processors:\n    - batch: {exporter: {otlp_http: {endpoint: \"h:1\"}}}\n",
		  "/endpoint" },
		{ HEAD "  processors:\n    - batch: {exporter: {otlp_http: {compression: lz4}}}\n",
		  "gzip or zstd" },
		{ HEAD "  processors:\n    - batch: {exporter: {otlp_http: {encoding: xml}}}\n",
		  "protobuf or json" },
		{ HEAD
		  "  processors:\n    - batch: {exporter: {otlp_http: {tls: {cert_file: /x}}}}\n",
		  "belong together" },
		{ HEAD "  processors:\n    - batch: {exporter: {otlp_http: {headers: {a: b}}}}\n",
		  "a list of {name, value}" },
		{ HEAD
		  "  processors:\n    - batch: {exporter: {otlp_http: {headers: [{value: b}]}}}\n",
		  "needs a name" },
		{ HEAD "  processors:\n    - batch: {exporter: {otlp_file/development: "
		       "{output_stream: \"ftp://x\"}}}\n",
		  "stdout or file" },
		{ HEAD "  processors:\n    - batch: {exporter: {otlp_file/development: "
		       "{output_stream: \"file:///no/such/x\"}}}\n",
		  "cannot be opened" },
		{ HEAD "  processors:\n    - batch: {exporter: {otlp_grpc: {endpoint: "
		       "\"https://h\", tls: {ca_file: /no/such}}}}\n",
		  "certificate file /no/such cannot be read: No such file" },
		{ HEAD "  sampler: {jaeger_remote/development: {}}\n", "the sampler is not known" },
		{ HEAD "  sampler: {trace_id_ratio_based: {ratio: 2}}\n", "a number from 0 to 1" },
		{ "file_format: \"1.0\"\nresource: {attributes: {a: b}}\n",
		  "a list of {name, value}" },
		{ "file_format: \"1.0\"\nresource: {attributes: [{value: b}]}\n",
		  "an attribute needs a name" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct read r;

		read_file(&r, cases[i].text);
		if (!r.ret || !strstr(r.err.text, cases[i].why))
			fail_msg("%s: %d %s", cases[i].text, r.ret, r.err.text);
		done(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything), cmocka_unit_test(the_least),
		cmocka_unit_test(samplers),   cmocka_unit_test(references),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
