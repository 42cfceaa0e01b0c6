// SPDX-License-Identifier: Apache-2.0
#include "cmd/receiving.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/command.h"

#define TOKEN_ENV "SONDE_OTLP_TOKEN"
#define HTTP_PORT 4318
#define GRPC_PORT 4317

static int listen_at(const char *text, const char *option, unsigned int port, const char *command,
		     bool token, struct listen_address *address, int *ret_fd)
{
	struct err err = { "" };

	if (!text)
		return 0;
	if (listen_address__parse_at(text, port, address, &err)) {
		fprintf(stderr, "sonde %s: %s: %s\n", command, option, err.text);
		return EXIT_USAGE;
	}
	if (!address->loopback && !token) {
		fprintf(stderr,
			"sonde %s: %s: others could fill the store from this address: it needs a "
			"token. Make one (head -c 24 /dev/urandom | base64 > token; chmod 600 "
			"token) and name it: --otlp-token-file token\n",
			command, option);
		return EXIT_USAGE;
	}
	*ret_fd = listen_address__open(address, &err);
	if (*ret_fd < 0) {
		*ret_fd = -1;
		fprintf(stderr, "sonde %s: %s: nothing is received: %s\n", command, option,
			err.text);
	}
	return 0;
}

int receiving__make(struct receiving *ret, const struct receiving_options *options,
		    const struct ui_options *hosts, const char *command)
{
	struct err err = { "" };
	int status;

	*ret = RECEIVING_NONE;
	if (!options->http && !options->grpc)
		return 0;
	if (serve_config__read_token(options->token_file, TOKEN_ENV, &ret->config.token, &err)) {
		fprintf(stderr, "sonde %s: --otlp-token-file: %s\n", command, err.text);
		return EXIT_USAGE;
	}
	ret->config.folder = strdup("/");
	for (unsigned int i = 0; i < hosts->n_hosts; i++)
		serve_config__add_host(&ret->config, hosts->hosts[i], strlen(hosts->hosts[i]));
	status = listen_at(options->http, "--otlp-http", HTTP_PORT, command, ret->config.token,
			   &ret->http_at, &ret->http);
	return status ? status :
			listen_at(options->grpc, "--otlp-grpc", GRPC_PORT, command,
				  ret->config.token, &ret->grpc_at, &ret->grpc);
}

static unsigned int port_of(const struct listen_address *a)
{
	return ntohs(a->at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a->at)->sin6_port :
						   ((struct sockaddr_in *)&a->at)->sin_port);
}

/* By name or number: this machine's loopback, or the address that is listened on. */
static bool is_ours(const struct listen_address *a, const char *host, unsigned int port)
{
	struct view bare = { host, strlen(host) };

	if (port != port_of(a))
		return false;
	if (bare.len > 2 && *host == '[')
		bare = (struct view){ host + 1, bare.len - 2 };
	return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "[::1]") ||
	       view_eq_nocase(bare, view_of(a->host));
}

static bool leads_back(const struct receiving *r, const char *endpoint)
{
	char *host = NULL, *port = NULL;
	CURLU *url = curl_url();
	unsigned int number;
	bool ours = false;

	if (url && !curl_url_set(url, CURLUPART_URL, endpoint, 0) &&
	    !curl_url_get(url, CURLUPART_HOST, &host, 0) &&
	    !curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)) {
		number = (unsigned int)strtoul(port, NULL, 10);
		ours = (r->http >= 0 && is_ours(&r->http_at, host, number)) ||
		       (r->grpc >= 0 && is_ours(&r->grpc_at, host, number));
	}
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(url);
	return ours;
}

int receiving__check_loop(const struct receiving *r, const struct ship_config *ship,
			  const char *command)
{
	for (uint32_t i = 0; i < ship->n_sinks; i++) {
		const struct ship_sink_config *sink = &ship->sinks[i];

		if (sink->type != SHIP_OTLP || !leads_back(r, sink->otlp.endpoint))
			continue;
		fprintf(stderr,
			"sonde %s: spans would be sent to %s, which is where this sonde receives: "
			"without end. Name another destination (--otlp URL), or --store DIR to "
			"keep them here\n",
			command, sink->otlp.endpoint);
		return EXIT_USAGE;
	}
	return 0;
}

void receiving__say(const struct receiving *r)
{
	if (r->http >= 0)
		log_info("OTLP is taken at %sv1/traces", r->http_at.url);
	if (r->grpc >= 0)
		log_info("OTLP is taken by gRPC at %s", r->grpc_at.url);
}

void receiving__free(struct receiving *r)
{
	if (r->http >= 0)
		close(r->http);
	if (r->grpc >= 0)
		close(r->grpc);
	r->http = r->grpc = -1;
	serve_config__free(&r->config);
}
