// SPDX-License-Identifier: Apache-2.0
/* Protects: OTEL_* by the letter of the specification; endpoints resolved as exporters do. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/otel_env.h"
#include "ship/ship.h"

/* "NAME=value" strings, NULL at the end. */
static const char *from_list(void *arg, const char *name)
{
	size_t n = strlen(name);

	for (const char *const *at = arg; *at; at++)
		if (!strncmp(*at, name, n) && (*at)[n] == '=')
			return *at + n + 1;
	return NULL;
}
#define ENV(...)                                                                                   \
	((struct otel_env){ from_list, (void *)(const char *const[]){ __VA_ARGS__, NULL } })
#define EMPTY ((struct otel_env){ from_list, (void *)(const char *const[]){ NULL } })

static void empty_is_unset(void **state)
{
	struct otel_env env = ENV("A=", "B=b");

	assert_null(otel_env__get(&env, "A"));
	assert_null(otel_env__get(&env, "C"));
	assert_string_equal(otel_env__get(&env, "B"), "b");
}

static void booleans(void **state)
{
	static const struct {
		const char *text;
		bool value;
		unsigned int warnings;
	} cases[] = { { "B=true", true, 0 },   { "B=TRUE", true, 0 },  { "B=True", true, 0 },
		      { "B=false", false, 0 }, { "B=", false, 0 },     { "B=1", false, 1 },
		      { "B=yes", false, 1 },   { "B=true ", false, 1 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct otel_warnings w = { .n = 0 };
		struct otel_env env = ENV(cases[i].text);

		assert_int_equal(otel_env__bool(&env, "B", &w), cases[i].value);
		assert_int_equal(w.n, cases[i].warnings);
	}
}

static void numbers(void **state)
{
	static const char *const bad[] = { "N=x",  "N=-1",   "N=1.5",
					   "N= 1", "N=1 ",   "N=101",
					   "N=4",  "N=0x10", "N=99999999999999999999999",
					   "N=+7" };
	struct otel_env env = ENV("N=100");
	struct otel_warnings w = { .n = 0 };
	uint64_t n = 42;

	assert_true(otel_env__number(&env, "N", 5, 100, &n, &w));
	assert_int_equal(n, 100);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct otel_warnings one = { .n = 0 };

		env = ENV(bad[i]);
		n = 42;
		assert_false(otel_env__number(&env, "N", 5, 100, &n, &one));
		assert_int_equal(n, 42);
		assert_int_equal(one.n, 1);
	}
	env = EMPTY;
	assert_false(otel_env__number(&env, "N", 5, 100, &n, &w));
	assert_int_equal(w.n, 0);
}

static void warnings_are_bounded(void **state)
{
	struct otel_warnings w = { .n = 0 };

	for (int i = 0; i < 100; i++)
		otel_warn(&w, "%0300d", i);
	assert_int_equal(w.n, OTEL_WARNINGS_MAX);
	assert_int_equal(w.more, 100 - OTEL_WARNINGS_MAX);
	otel_warn(NULL, "nobody listens");
}

static void pairs(void **state)
{
	static const char *const bad[] = { "novalue", "a=1,b", "=x",	"a=%",
					   "a=%4",    "a=%zz", "a=%00", "%=a" };
	struct otel_pairs p = { .n = 0 };

	assert_int_equal(otel_pairs__parse(&p, "a=1, b = two ,,c=x%20y%2Cz=,d=,a=3,e%3D=f"), 0);
	assert_string_equal(otel_pairs__get(&p, "a"), "3");
	assert_string_equal(otel_pairs__get(&p, "b"), "two");
	assert_string_equal(otel_pairs__get(&p, "c"), "x y,z=");
	assert_string_equal(otel_pairs__get(&p, "d"), "");
	assert_string_equal(otel_pairs__get(&p, "e="), "f");
	assert_int_equal(p.n, 5);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct otel_pairs before = { .n = 0 };

		assert_int_equal(otel_pairs__parse(&before, bad[i]), -EINVAL);
		assert_int_equal(before.n, 0);
	}
	otel_pairs__free(&p);
	otel_pairs__free(NULL);
}

static void pairs_are_bounded(void **state)
{
	struct otel_pairs p = { .n = 0 };
	char key[16];

	for (int i = 0; i < OTEL_PAIRS_MAX; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(otel_pairs__set(&p, view_of(key), VIEW("v")), 0);
	}
	assert_int_equal(otel_pairs__set(&p, VIEW("more"), VIEW("v")), -E2BIG);
	assert_int_equal(otel_pairs__set(&p, VIEW("k0"), VIEW("w")), 0);
	assert_string_equal(otel_pairs__get(&p, "k0"), "w");
	otel_pairs__free(&p);
}

static void resource(void **state)
{
	struct otel_env env =
		ENV("OTEL_RESOURCE_ATTRIBUTES=service.name=a,x=1", "OTEL_SERVICE_NAME=b");
	struct otel_warnings w = { .n = 0 };
	struct otel_pairs p = { .n = 0 };

	assert_int_equal(otel_env__resource(&env, &p, &w), 0);
	assert_string_equal(otel_pairs__get(&p, "service.name"), "b");
	assert_string_equal(otel_pairs__get(&p, "x"), "1");
	otel_pairs__free(&p);
	env = ENV("OTEL_RESOURCE_ATTRIBUTES=service.name=a,x=%zz", "OTEL_SERVICE_NAME=b");
	assert_int_equal(otel_env__resource(&env, &p, &w), 0);
	assert_int_equal(w.n, 1);
	assert_int_equal(p.n, 1); /* all of the variable is discarded */
	assert_string_equal(otel_pairs__get(&p, "service.name"), "b");
	otel_pairs__free(&p);
}

static void samplers(void **state)
{
	static const struct {
		const char *name, *arg;
		enum otel_sampler_kind kind;
		double ratio;
		unsigned int warnings;
	} cases[] = {
		{ "X=", "X=", OTEL_SAMPLER_PARENT_ALWAYS_ON, 1, 0 },
		{ "OTEL_TRACES_SAMPLER=always_on", "X=", OTEL_SAMPLER_ALWAYS_ON, 1, 0 },
		{ "OTEL_TRACES_SAMPLER=always_off", "X=", OTEL_SAMPLER_ALWAYS_OFF, 1, 0 },
		{ "OTEL_TRACES_SAMPLER=parentbased_always_off",
		  "X=", OTEL_SAMPLER_PARENT_ALWAYS_OFF, 1, 0 },
		{ "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25",
		  OTEL_SAMPLER_RATIO, 0.25, 0 },
		{ "OTEL_TRACES_SAMPLER=traceidratio", "X=", OTEL_SAMPLER_RATIO, 1, 0 },
		{ "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0",
		  OTEL_SAMPLER_PARENT_RATIO, 0, 0 },
		{ "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=1.5",
		  OTEL_SAMPLER_RATIO, 1, 1 },
		{ "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=nan",
		  OTEL_SAMPLER_RATIO, 1, 1 },
		{ "OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.5x",
		  OTEL_SAMPLER_RATIO, 1, 1 },
		{ "OTEL_TRACES_SAMPLER=jaeger_remote", "X=", OTEL_SAMPLER_PARENT_ALWAYS_ON, 1, 1 },
		{ "OTEL_TRACES_SAMPLER=always_on", "OTEL_TRACES_SAMPLER_ARG=x",
		  OTEL_SAMPLER_ALWAYS_ON, 1, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct otel_env env = ENV(cases[i].name, cases[i].arg);
		struct otel_warnings w = { .n = 0 };
		struct otel_sampler s = otel_env__sampler(&env, &w);

		assert_int_equal(s.kind, cases[i].kind);
		assert_true(s.ratio == cases[i].ratio);
		assert_int_equal(w.n, cases[i].warnings);
	}
}

static void exporters(void **state)
{
	static const struct {
		const char *text;
		unsigned int bits, warnings;
	} cases[] = { { "X=", OTEL_EXPORT_OTLP, 0 },
		      { "OTEL_TRACES_EXPORTER=", OTEL_EXPORT_OTLP, 0 },
		      { "OTEL_TRACES_EXPORTER=otlp", OTEL_EXPORT_OTLP, 0 },
		      { "OTEL_TRACES_EXPORTER=console", OTEL_EXPORT_CONSOLE, 0 },
		      { "OTEL_TRACES_EXPORTER=none", 0, 0 },
		      { "OTEL_TRACES_EXPORTER=otlp, console",
			OTEL_EXPORT_OTLP | OTEL_EXPORT_CONSOLE, 0 },
		      { "OTEL_TRACES_EXPORTER=zipkin", 0, 1 },
		      { "OTEL_TRACES_EXPORTER=zipkin,otlp", OTEL_EXPORT_OTLP, 1 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct otel_env env = ENV(cases[i].text);
		struct otel_warnings w = { .n = 0 };

		assert_int_equal(otel_env__traces_exporters(&env, &w), cases[i].bits);
		assert_int_equal(w.n, cases[i].warnings);
	}
}

#define GRPC "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define BASE "OTEL_EXPORTER_OTLP_ENDPOINT="
#define OWN "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="
#define IS_GRPC "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"

static void endpoints(void **state)
{
	static const struct {
		const char *a, *b, *c, *want; /* want NULL: an error */
	} cases[] = {
		{ "X=", "X=", "X=", "http://localhost:4318/v1/traces" },
		{ BASE "http://h:1", "X=", "X=", "http://h:1/v1/traces" },
		{ BASE "http://h:1/", "X=", "X=", "http://h:1/v1/traces" },
		{ BASE "https://h/mine", "X=", "X=", "https://h/mine/v1/traces" },
		{ BASE "https://h/mine/", "X=", "X=", "https://h/mine/v1/traces" },
		{ BASE "https://h/mine?key=1", "X=", "X=", "https://h/mine/v1/traces?key=1" },
		{ BASE "http://[::1]:4318", "X=", "X=", "http://[::1]:4318/v1/traces" },
		{ BASE "http://u:p@h:1", "X=", "X=", "http://u:p@h:1/v1/traces" },
		{ OWN "http://h:1/x", BASE "http://other", "X=", "http://h:1/x" },
		{ OWN "http://h:1", "X=", "X=", "http://h:1" },
		{ BASE "", "X=", "X=", "http://localhost:4318/v1/traces" },
		{ IS_GRPC, "X=", "X=", "http://localhost:4317" GRPC },
		{ IS_GRPC, BASE "http://h:1", "X=", "http://h:1" GRPC },
		{ IS_GRPC, BASE "https://h:1/", "X=", "https://h:1" GRPC },
		{ IS_GRPC, BASE "https://h:1/x", "X=", "https://h:1" GRPC },
		{ IS_GRPC, BASE "h:1", "X=", "https://h:1" GRPC },
		{ IS_GRPC, BASE "h:1", "OTEL_EXPORTER_OTLP_INSECURE=true", "http://h:1" GRPC },
		{ IS_GRPC, BASE "https://h:1", "OTEL_EXPORTER_OTLP_INSECURE=true",
		  "https://h:1" GRPC },
		{ "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", BASE "http://h:1",
		  "OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "http://h:1" GRPC },
		{ BASE "localhost:4318", "X=", "X=", NULL },
		{ BASE "ftp://h:1", "X=", "X=", NULL },
		{ BASE "http://", "X=", "X=", NULL },
		{ BASE "http://h:99999", "X=", "X=", NULL },
		{ BASE "http://h h", "X=", "X=", NULL },
		{ IS_GRPC, BASE "http://:1", "X=", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct otel_env env = ENV(cases[i].a, cases[i].b, cases[i].c);
		struct ship_config config = { .n_sinks = 0 };
		struct ship_otlp *otlp = &ship_config__add(&config, SHIP_OTLP)->otlp;
		struct otel_warnings w = { .n = 0 };
		struct err err = { "" };
		int ret = ship_otlp__from_env(otlp, &env, &w, &err);

		assert_int_equal(ret, cases[i].want ? 0 : -EINVAL);
		if (cases[i].want)
			assert_string_equal(otlp->endpoint, cases[i].want);
		else
			assert_non_null(strstr(err.text, "OTEL_EXPORTER_OTLP_ENDPOINT: "));
		ship_config__free(&config);
	}
}

static void the_other_options(void **state)
{
	struct otel_env env =
		ENV("OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_TIMEOUT=1",
		    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=2500", "OTEL_EXPORTER_OTLP_CERTIFICATE=/ca",
		    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/cert",
		    "OTEL_EXPORTER_OTLP_CLIENT_KEY=/key", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
		    "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=100",
		    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=500", "OTEL_BSP_EXPORT_TIMEOUT=x",
		    "OTEL_EXPORTER_OTLP_HEADERS=a=1,b=x%20y,bad name=1,c=1%0d%0aX: y,A=2");
	struct ship_config config = { .n_sinks = 0 };
	struct ship_otlp *o = &ship_config__add(&config, SHIP_OTLP)->otlp;
	struct otel_warnings w = { .n = 0 };

	assert_int_equal(ship_otlp__from_env(o, &env, &w, NULL), 0);
	assert_int_equal(o->compression, SHIP_GZIP);
	assert_int_equal(o->protocol, SHIP_HTTP_JSON);
	assert_int_equal(o->timeout_ms, 2500);
	assert_int_equal(o->delay_ms, 10);
	assert_int_equal(o->queue_spans_max, 100);
	assert_int_equal(o->batch_spans_max, 100); /* no more than the queue holds */
	assert_int_equal(o->retry_ms, 300000);
	assert_string_equal(o->ca_file, "/ca");
	assert_string_equal(o->cert_file, "/cert");
	assert_string_equal(o->key_file, "/key");
	assert_int_equal(o->n_headers, 2);
	assert_string_equal(o->headers[0].value, "2");
	assert_string_equal(o->headers[1].value, "x y");
	assert_int_equal(w.n, 3); /* the bad timeout, two headers that cannot be sent */
	ship_config__free(&config);
}

static void certificates_that_cannot_be_read(void **state)
{
	struct otel_env env = ENV("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/",
				  "OTEL_EXPORTER_OTLP_CLIENT_KEY=/dev/null");
	struct ship_config config = { .n_sinks = 0 };
	struct ship_otlp *o = &ship_config__add(&config, SHIP_OTLP)->otlp;
	struct err err = { "" };

	assert_int_equal(ship_otlp__from_env(o, &env, NULL, &err),
			 0); /* http: they do not matter */
	assert_int_equal(ship_otlp__set_url(o, "https://h", &err), -EISDIR);
	assert_string_equal(err.text,
			    "the client certificate file / cannot be read: Is a directory");
	ship_config__free(&config);
	env = ENV("OTEL_EXPORTER_OTLP_CERTIFICATE=/no/such", BASE "https://h");
	o = &ship_config__add(&config, SHIP_OTLP)->otlp;
	assert_int_equal(ship_otlp__from_env(o, &env, NULL, &err), -ENOENT);
	assert_string_equal(
		err.text,
		"the certificate file /no/such cannot be read: No such file or directory");
	ship_config__free(&config);
}

static void defaults(void **state)
{
	struct otel_env env =
		ENV("OTEL_EXPORTER_OTLP_PROTOCOL=carrier pigeon",
		    "OTEL_EXPORTER_OTLP_COMPRESSION=zstd", "OTEL_EXPORTER_OTLP_HEADERS=nonsense");
	struct ship_config config = { .n_sinks = 0 };
	struct otel_warnings w = { .n = 0 };
	struct ship_otlp *o;

	assert_int_equal(ship__from_env(&config, &env, 1, &w, NULL), 0);
	assert_int_equal(config.n_sinks, 1);
	o = &config.sinks[0].otlp;
	assert_true(o->protocol == SHIP_HTTP_PROTOBUF && o->compression == SHIP_PLAIN &&
		    !o->n_headers);
	assert_true(o->timeout_ms == 10000 && o->delay_ms == 800 && o->queue_bytes_max == 16 << 20);
	assert_int_equal(w.n, 3);
	ship_config__free(&config);
}

static void urls_of_the_command_line(void **state)
{
	static const struct {
		const char *url, *env, *want;
		enum ship_protocol protocol;
	} cases[] = {
		{ "http://h:4318", "X=", "http://h:4318/v1/traces", SHIP_HTTP_PROTOBUF },
		{ "http://h:4318/", "X=", "http://h:4318/v1/traces", SHIP_HTTP_PROTOBUF },
		{ "https://h/otlp/v1/traces", "X=", "https://h/otlp/v1/traces",
		  SHIP_HTTP_PROTOBUF },
		{ "HTTP://h:1", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "http://h:1/v1/traces",
		  SHIP_HTTP_JSON },
		{ "http://h:1", IS_GRPC, "http://h:1" GRPC, SHIP_GRPC },
		{ "http://h:1/x", IS_GRPC, "http://h:1/x", SHIP_HTTP_PROTOBUF },
		{ "grpc://h:4317", "X=", "http://h:4317" GRPC, SHIP_GRPC },
		{ "grpcs://h:4317/", "X=", "https://h:4317" GRPC, SHIP_GRPC },
		{ "grpc://h:4317/x", "X=", NULL, 0 },
		{ "h:4317", "X=", NULL, 0 },
		{ "", "X=", NULL, 0 },
		{ "http://", "X=", NULL, 0 },
		{ "http://h:port", "X=", NULL, 0 },
		{ "unix:///x", "X=", NULL, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ship_config config = { .n_sinks = 0 };
		struct ship_otlp *o = &ship_config__add(&config, SHIP_OTLP)->otlp;
		struct otel_env env = ENV(cases[i].env);
		struct otel_warnings w = { .n = 0 };
		struct err err = { "" };

		assert_int_equal(ship_otlp__from_env(o, &env, &w, &err), 0);
		assert_int_equal(ship_otlp__set_url(o, cases[i].url, &err),
				 cases[i].want ? 0 : -EINVAL);
		if (cases[i].want) {
			assert_string_equal(o->endpoint, cases[i].want);
			assert_int_equal(o->protocol, cases[i].protocol);
		} else {
			assert_non_null(strstr(err.text, "--otlp"));
		}
		ship_config__free(&config);
	}
}

static void configuration_as_json(void **state)
{
	struct otel_env env = ENV("OTEL_EXPORTER_OTLP_HEADERS=a=1,b=%C3%A9%FF", IS_GRPC,
				  "OTEL_EXPORTER_OTLP_CERTIFICATE=/ca \"x\"");
	struct ship_config config = { .n_sinks = 0 }, back = { .n_sinks = 0 };
	struct ship_console *console = &ship_config__add(&config, SHIP_CONSOLE)->console;
	char *one, *two;
	struct err err = { "" };

	console->where = strdup("path~\"^/\"");
	console->limit = UINT64_MAX / 2;
	console->width = 80;
	console->tree = true;
	ship_config__add(&config, SHIP_FILE)->file.fd = 17;
	assert_int_equal(ship_otlp__from_env(&ship_config__add(&config, SHIP_OTLP)->otlp, &env,
					     NULL, NULL),
			 0);
	ship_config__add(&config, SHIP_OTLP);
	assert_string_equal(config.sinks[3].name, "otlp-2");
	config.n_sinks--;
	assert_int_equal(ship_config__to_json(&config, &one), 0);
	assert_int_equal(ship_config__from_json(&back, one, strlen(one), &err), 0);
	assert_int_equal(ship_config__to_json(&back, &two), 0);
	assert_string_equal(one, two);
	assert_string_equal(back.sinks[0].console.where, "path~\"^/\"");
	assert_true(back.sinks[0].console.tree && back.sinks[0].console.width == 80);
	assert_int_equal(back.sinks[1].file.fd, 17);
	assert_string_equal(back.sinks[2].otlp.headers[1].value, "\xc3\xa9\xff");
	assert_string_equal(back.sinks[2].otlp.ca_file, "/ca \"x\"");
	assert_int_equal(ship_config__from_json(&back, "{", 1, &err), -EINVAL);
	assert_int_equal(ship_config__from_json(&back, "{\"sinks\":[{\"type\":9}]}", 21, &err),
			 -EINVAL);
	free(one);
	free(two);
	ship_config__free(&config);
	ship_config__free(&back);
	ship_config__free(NULL);
}

static void no_more_sinks_than_the_account_has(void **state)
{
	struct ship_config config = { .n_sinks = 0 };

	for (int i = 0; i < SHIP_SINKS_MAX; i++)
		assert_non_null(ship_config__add(&config, SHIP_FILE));
	assert_null(ship_config__add(&config, SHIP_FILE));
	assert_string_equal(config.sinks[7].name, "file-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_is_unset),
		cmocka_unit_test(booleans),
		cmocka_unit_test(numbers),
		cmocka_unit_test(warnings_are_bounded),
		cmocka_unit_test(pairs),
		cmocka_unit_test(pairs_are_bounded),
		cmocka_unit_test(resource),
		cmocka_unit_test(samplers),
		cmocka_unit_test(exporters),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(the_other_options),
		cmocka_unit_test(certificates_that_cannot_be_read),
		cmocka_unit_test(defaults),
		cmocka_unit_test(urls_of_the_command_line),
		cmocka_unit_test(configuration_as_json),
		cmocka_unit_test(no_more_sinks_than_the_account_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
