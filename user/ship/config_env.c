// SPDX-License-Identifier: Apache-2.0
/*
 * OTLP exporter options from the environment (OpenTelemetry specification, "OpenTelemetry Protocol
 * Exporter") and from --otlp.
 */
#include "ship/ship.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ship/config.h"
#include "ship/console/where.h"

#define HTTP_PATH "v1/traces"
#define GRPC_PATH "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define PEM_MAX_BYTES (256u << 10)

/* The signal's own variable before the general one; *ret_own says which it was. */
static const char *otlp_variable(const struct otel_env *env, const char *what, char name[96],
				 bool *ret_own)
{
	const char *value;

	snprintf(name, 96, "OTEL_EXPORTER_OTLP_TRACES_%s", what);
	value = otel_env__get(env, name);
	*ret_own = value != NULL;
	if (value)
		return value;
	snprintf(name, 96, "OTEL_EXPORTER_OTLP_%s", what);
	return otel_env__get(env, name);
}

int config__set(char **at, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	free(*at);
	*at = copy;
	return 0;
}

int config__check_url(const char *url, const char *where, struct err *err)
{
	CURLU *parts = curl_url();
	char *scheme = NULL, *host = NULL;
	CURLUcode code;
	int ret = 0;

	if (!parts)
		return -ENOMEM;
	code = curl_url_set(parts, CURLUPART_URL, url, 0);
	if (code)
		ret = err__set(err, -EINVAL,
			       "%s: %.200s is no usable URL: %s; write for example "
			       "http://localhost:4318",
			       where, url, curl_url_strerror(code));
	else if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) ||
		 (strcmp(scheme, "http") && strcmp(scheme, "https")))
		ret = err__set(err, -EINVAL, "%s: %.200s: the scheme must be http or https", where,
			       url);
	else if (curl_url_get(parts, CURLUPART_HOST, &host, 0) || !*host)
		ret = err__set(err, -EINVAL, "%s: %.200s names no host", where, url);
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(parts);
	return ret;
}

/* Where the path of scheme://authority/path?query begins: a length of url. */
static size_t authority_end(const char *url)
{
	const char *rest = strstr(url, "://");
	size_t from = rest ? (size_t)(rest - url) + 3 : 0;

	return from + strcspn(url + from, "/?#");
}

int config__set_grpc(struct ship_otlp *otlp, const char *url)
{
	struct buf text = { 0 };
	int ret;

	buf__add(&text, url, authority_end(url));
	buf__add(&text, GRPC_PATH, sizeof(GRPC_PATH));
	ret = text.err ? text.err : config__set(&otlp->endpoint, (const char *)text.at);
	buf__free(&text);
	return ret;
}

/* base with v1/traces behind its path. */
static int set_base(struct ship_otlp *otlp, const char *base)
{
	size_t authority = authority_end(base);
	size_t path = strcspn(base + authority, "?#");
	const char *rest = base + authority + path;
	struct buf text = { 0 };
	int ret;

	buf__add(&text, base, authority + path);
	if (!path || base[authority + path - 1] != '/')
		buf__add(&text, "/", 1);
	buf__add_str(&text, HTTP_PATH);
	buf__add(&text, rest, strlen(rest) + 1);
	ret = text.err ? text.err : config__set(&otlp->endpoint, (const char *)text.at);
	buf__free(&text);
	return ret;
}

/* gRPC also takes host:port, which is secure unless ..._INSECURE says true. */
static int grpc_target(const struct otel_env *env, const char *value, struct buf *url,
		       struct otel_warnings *warnings)
{
	char name[96];
	bool own, insecure;

	if (!strstr(value, "://")) {
		otlp_variable(env, "INSECURE", name, &own);
		insecure = otel_env__bool(env, name, warnings);
		buf__add_str(url, insecure ? "http://" : "https://");
	}
	buf__add(url, value, strlen(value) + 1);
	return url->err;
}

static int read_endpoint(struct ship_otlp *otlp, const struct otel_env *env,
			 struct otel_warnings *warnings, struct err *err)
{
	bool grpc = otlp->protocol == SHIP_GRPC, own;
	struct buf url = { 0 };
	const char *value;
	char name[96];
	size_t path;
	int ret;

	value = otlp_variable(env, "ENDPOINT", name, &own);
	if (!value && grpc)
		return config__set_grpc(otlp, "http://localhost:4317");
	if (!value)
		return set_base(otlp, "http://localhost:4318");
	if (!grpc) {
		ret = config__check_url(value, name, err);
		return ret ? ret :
		       own ? config__set(&otlp->endpoint, value) :
			     set_base(otlp, value);
	}
	ret = grpc_target(env, value, &url, warnings);
	if (!ret)
		ret = config__check_url((const char *)url.at, name, err);
	if (!ret) {
		path = authority_end((const char *)url.at);
		if (url.at[path] && strcmp((const char *)url.at + path, "/"))
			otel_warn(warnings, "%s=%.100s: gRPC has no path, it is passed over", name,
				  value);
		ret = config__set_grpc(otlp, (const char *)url.at);
	}
	buf__free(&url);
	return ret;
}

/* RFC 9110 5.6.2: token. */
static bool token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (*s <= ' ' || *s > '~' || strchr("\"(),/:;<=>?@[\\]{}", *s))
			return false;
	return true;
}

int config__add_header(struct ship_otlp *otlp, const char *name, const char *value,
		       struct otel_warnings *warnings)
{
	struct ship_header *header = NULL;

	if (!token(name) || strpbrk(value, "\r\n")) {
		otel_warn(warnings, "header %.60s: its name or value cannot be sent: left out",
			  name);
		return 0;
	}
	for (uint32_t i = 0; i < otlp->n_headers; i++)
		if (!strcasecmp(otlp->headers[i].name, name))
			header = &otlp->headers[i];
	if (!header && otlp->n_headers == SHIP_HEADERS_MAX) {
		otel_warn(warnings, "header %.60s: more than %d headers: left out", name,
			  SHIP_HEADERS_MAX);
		return 0;
	}
	if (!header)
		header = &otlp->headers[otlp->n_headers++];
	if (config__set(&header->name, name) || config__set(&header->value, value))
		return -ENOMEM;
	return 0;
}

int config__add_header_list(struct ship_otlp *otlp, const char *name, const char *list,
			    struct otel_warnings *warnings)
{
	struct otel_pairs pairs = { .n = 0 };
	int ret = otel_pairs__parse(&pairs, list);

	if (ret == -EINVAL || ret == -E2BIG) {
		otel_warn(warnings,
			  "%s is not of the form name=value,name2=value2 with percent-encoded "
			  "values: ignored",
			  name);
		ret = 0;
	}
	for (unsigned int i = 0; !ret && i < pairs.n; i++)
		ret = config__add_header(otlp, pairs.at[i].key, pairs.at[i].value, warnings);
	otel_pairs__free(&pairs);
	return ret;
}

static int read_files(struct ship_otlp *otlp, const struct otel_env *env)
{
	char name[96];
	bool own;
	int ret;

	ret = config__set(&otlp->ca_file, otlp_variable(env, "CERTIFICATE", name, &own));
	if (!ret)
		ret = config__set(&otlp->cert_file,
				  otlp_variable(env, "CLIENT_CERTIFICATE", name, &own));
	if (!ret)
		ret = config__set(&otlp->key_file, otlp_variable(env, "CLIENT_KEY", name, &own));
	return ret;
}

/* *ret_pem: the file's text; NULL where it is too long to be carried about. */
static int read_pem(const char *path, const char *what, char **ret_pem, struct err *err)
{
	struct buf text = { .max = PEM_MAX_BYTES };
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret = fd < 0 ? -errno : 0;

	if (!ret)
		ret = buf__read(&text, fd);
	if (fd >= 0)
		close(fd);
	buf__add(&text, "", 1);
	if (!ret && config__set(ret_pem, (const char *)text.at))
		ret = -ENOMEM;
	buf__free(&text);
	if (ret == -EMSGSIZE)
		return 0;
	if (!ret || ret == -ENOMEM)
		return ret;
	return err__set(err, ret, "the %s file %.200s cannot be read: %s", what, path,
			strerror(-ret));
}

int ship_otlp__read_files(struct ship_otlp *otlp, struct err *err)
{
	int ret = 0;

	if (strncasecmp(otlp->endpoint, "https:", 6))
		return 0;
	if (otlp->ca_file)
		ret = read_pem(otlp->ca_file, "certificate", &otlp->ca_pem, err);
	if (!ret && otlp->cert_file)
		ret = read_pem(otlp->cert_file, "client certificate", &otlp->cert_pem, err);
	if (!ret && otlp->key_file)
		ret = read_pem(otlp->key_file, "client key", &otlp->key_pem, err);
	return ret;
}

static void read_bsp(struct ship_otlp *otlp, const struct otel_env *env,
		     struct otel_warnings *warnings)
{
	otel_env__number(env, "OTEL_BSP_SCHEDULE_DELAY", 0, SHIP_DURATION_MAX_MS, &otlp->delay_ms,
			 warnings);
	otel_env__number(env, "OTEL_BSP_EXPORT_TIMEOUT", 1, SHIP_DURATION_MAX_MS, &otlp->retry_ms,
			 warnings);
	otel_env__number(env, "OTEL_BSP_MAX_QUEUE_SIZE", 1, 1u << 30, &otlp->queue_spans_max,
			 warnings);
	otel_env__number(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1, 1u << 20, &otlp->batch_spans_max,
			 warnings);
	if (otlp->queue_spans_max && otlp->batch_spans_max > otlp->queue_spans_max)
		otlp->batch_spans_max = otlp->queue_spans_max;
}

int ship_otlp__from_env(struct ship_otlp *otlp, const struct otel_env *env,
			struct otel_warnings *warnings, struct err *err)
{
	static const char *const protocols[] = { [SHIP_HTTP_PROTOBUF] = "http/protobuf",
						 [SHIP_HTTP_JSON] = "http/json",
						 [SHIP_GRPC] = "grpc",
						 NULL };
	static const char *const compressions[] = {
		[SHIP_PLAIN] = "none", [SHIP_GZIP] = "gzip", NULL
	};
	const char *headers;
	char name[96];
	bool own;
	int n, ret;

	otlp_variable(env, "PROTOCOL", name, &own);
	n = otel_env__enum(env, name, protocols, warnings);
	otlp->protocol = n < 0 ? SHIP_HTTP_PROTOBUF : (enum ship_protocol)n;
	otlp_variable(env, "COMPRESSION", name, &own);
	n = otel_env__enum(env, name, compressions, warnings);
	otlp->compression = n < 0 ? SHIP_PLAIN : (enum ship_compression)n;
	otlp_variable(env, "TIMEOUT", name, &own);
	otel_env__number(env, name, 0, SHIP_DURATION_MAX_MS, &otlp->timeout_ms, warnings);
	read_bsp(otlp, env, warnings);
	ret = read_endpoint(otlp, env, warnings, err);
	if (!ret)
		ret = read_files(otlp, env);
	headers = otlp_variable(env, "HEADERS", name, &own);
	if (!ret && headers)
		ret = config__add_header_list(otlp, name, headers, warnings);
	return ret ? ret : ship_otlp__read_files(otlp, err);
}

int ship_otlp__set_url(struct ship_otlp *otlp, const char *url, struct err *err)
{
	static const struct {
		const char *scheme, *real;
		bool grpc;
	} schemes[] = { { "http://", "http://", false },
			{ "https://", "https://", false },
			{ "grpc://", "http://", true },
			{ "grpcs://", "https://", true } };
	struct buf text = { 0 };
	bool grpc = false;
	const char *path;
	int ret;

	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t n = strlen(schemes[i].scheme);

		if (strncasecmp(url, schemes[i].scheme, n))
			continue;
		grpc = schemes[i].grpc;
		buf__add_str(&text, schemes[i].real);
		buf__add(&text, url + n, strlen(url + n) + 1);
	}
	if (!text.at)
		return err__set(err, -EINVAL,
				"--otlp %.200s: begin with http://, https://, grpc:// or grpcs://, "
				"for example http://localhost:4318 or grpc://localhost:4317",
				url);
	ret = text.err ? text.err : config__check_url((const char *)text.at, "--otlp", err);
	if (ret)
		goto cleanup;
	path = (const char *)text.at + authority_end((const char *)text.at);
	if (grpc && *path && strcmp(path, "/"))
		ret = err__set(err, -EINVAL, "--otlp %.200s: gRPC has no path; leave %.60s out",
			       url, path);
	else if (*path && strcmp(path, "/")) {
		/* A path is HTTP's, whatever the environment prefers. */
		ret = config__set(&otlp->endpoint, (const char *)text.at);
		otlp->protocol = otlp->protocol == SHIP_GRPC ? SHIP_HTTP_PROTOBUF : otlp->protocol;
	} else if (grpc || otlp->protocol == SHIP_GRPC) {
		ret = config__set_grpc(otlp, (const char *)text.at);
		otlp->protocol = SHIP_GRPC;
	} else {
		ret = set_base(otlp, (const char *)text.at);
	}
	if (!ret)
		ret = ship_otlp__read_files(otlp, err);
cleanup:
	buf__free(&text);
	return ret;
}

int ship__from_env(struct ship_config *config, const struct otel_env *env, int console_fd,
		   struct otel_warnings *warnings, struct err *err)
{
	unsigned int exporters = otel_env__traces_exporters(env, warnings);
	struct ship_sink_config *sink;

	if (exporters & OTEL_EXPORT_CONSOLE) {
		sink = ship_config__add(config, SHIP_CONSOLE);
		if (!sink)
			return err__set(err, -EINVAL, "more than %d outputs", SHIP_SINKS_MAX);
		sink->console.fd = console_fd;
		ship_console__look(&sink->console);
	}
	if (!(exporters & OTEL_EXPORT_OTLP))
		return 0;
	sink = ship_config__add(config, SHIP_OTLP);
	if (!sink)
		return err__set(err, -EINVAL, "more than %d outputs", SHIP_SINKS_MAX);
	return ship_otlp__from_env(&sink->otlp, env, warnings, err);
}

void ship_console__look(struct ship_console *console)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
	bool terminal = isatty(console->fd);
	struct winsize size = { 0 };
	time_t now = time(NULL);
	locale_t locale;
	struct tm tm;

	console->color = terminal && (!no_color || !*no_color) && (!term || strcmp(term, "dumb"));
	if (terminal && !ioctl(console->fd, TIOCGWINSZ, &size))
		console->width = size.ws_col;
	locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	if (locale) {
		console->unicode = !strcmp(nl_langinfo_l(CODESET, locale), "UTF-8");
		freelocale(locale);
	}
	if (localtime_r(&now, &tm))
		console->utc_offset_s = (int32_t)tm.tm_gmtoff;
}

int ship_console__check_where(const char *where, struct err *err)
{
	struct where *parsed;
	int ret = where ? where__parse(where, &parsed, err) : 0;

	if (where && !ret)
		where__free(parsed);
	return ret;
}
