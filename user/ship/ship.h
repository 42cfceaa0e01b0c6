/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ship role: frames in; files, a console and OTLP backends out. The parent builds a
 * ship_config (from options, the environment or a configuration file), hands it over as one JSON
 * document, and ship runs it until the frames end.
 *
 * Nothing in here blocks upstream: each sink has a bounded queue of its own, and what does not
 * fit is dropped and counted in that sink's line of the account.
 */
#ifndef SONDE_SHIP_SHIP_H
#define SONDE_SHIP_SHIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/otel_env.h"
#include "core/account.h"

#define SHIP_SINKS_MAX ACCOUNT_SINKS_MAX
#define SHIP_HEADERS_MAX 64
#define SHIP_QUEUE_DEFAULT_BYTES (16u << 20)
/* Hard limits of conventions: what is sent and what is read. */
#define SHIP_REQUEST_MAX_BYTES (64u << 20)
#define SHIP_RESPONSE_MAX_BYTES (4u << 20)
/* Time to flush after the frames ended or SIGTERM came. */
#define SHIP_FLUSH_MS 5000
#define SHIP_DURATION_MAX_MS 86400000ull
/* "No limit", for durations. */
#define SHIP_FOREVER_MS (10ull * 365 * 86400 * 1000)

enum ship_sink_type { SHIP_CONSOLE = 1, SHIP_FILE, SHIP_OTLP, SHIP_STORE };
enum ship_protocol { SHIP_HTTP_PROTOBUF = 0, SHIP_HTTP_JSON, SHIP_GRPC };
enum ship_compression { SHIP_PLAIN = 0, SHIP_GZIP, SHIP_ZSTD };

struct ship_console {
	int fd;
	bool lines;	      /* a line a span */
	bool tree;	      /* waterfalls of whole traces (instead of lines) */
	bool summary;	      /* a table at the end */
	bool color;	      /* a terminal */
	bool unicode;	      /* bars and branches beyond ASCII */
	bool headers;	      /* captured headers under each line */
	uint32_t width;	      /* columns; 0: as wide as it gets (no terminal) */
	int32_t utc_offset_s; /* local time: the role cannot look it up */
	uint64_t limit;	      /* stop after so many spans were shown; 0: never */
	char *where;	      /* filter expression (console/where.h) or NULL */
};

struct ship_file {
	int fd;	      /* OTLP JSON lines */
	bool by_size; /* lines are cut by size alone, not by time: replay gives the same bytes */
};

struct ship_store {
	char *folder; /* absolute; the role owns it */
	bool shared;  /* its group may read it: the role that serves */
	uint64_t bytes_max, age_s;
	uint64_t
		run; /* this run of sonde: what it has stored is counted over restarts of the role */
};

struct ship_header {
	char *name, *value;
};

/* Durations in milliseconds. */
struct ship_otlp {
	char *endpoint; /* whole URL, path included; http or https */
	enum ship_protocol protocol;
	enum ship_compression compression;
	struct ship_header headers[SHIP_HEADERS_MAX];
	uint32_t n_headers;
	char *ca_file, *cert_file, *key_file; /* PEM; read anew for every connection; or NULL */
	/*
	 * The same as the parent read them: for the role, which may not be allowed to open a private
	 * key. The file comes first where it can be opened, so that a rotated one counts.
	 */
	char *ca_pem, *cert_pem, *key_pem;
	uint64_t timeout_ms; /* of one attempt; 0: none */
	uint64_t delay_ms;   /* of the first span of a batch */
	uint64_t batch_spans_max;
	uint64_t batch_bytes_max; /* encoded spans of one request, before compression */
	uint64_t queue_spans_max; /* 0: bounded by bytes only */
	uint64_t queue_bytes_max;
	uint64_t retry_ms; /* a batch is given up when it is this old */
};

struct ship_sink_config {
	enum ship_sink_type type;
	char name[32]; /* of its line in the account; unique */
	struct ship_console console;
	struct ship_file file;
	struct ship_otlp otlp;
	struct ship_store store;
};

struct ship_config {
	struct ship_sink_config sinks[SHIP_SINKS_MAX];
	uint32_t n_sinks;
};

/*
 * A new sink with its defaults: name made unique, console lines only, OTLP of 0.8 s delay, 10 s
 * timeout, 16 MiB queue. NULL: SHIP_SINKS_MAX are there already.
 */
struct ship_sink_config *ship_config__add(struct ship_config *config, enum ship_sink_type type);
/* NULL is fine; the struct itself is the caller's. Descriptors are not closed. */
void ship_config__free(struct ship_config *config);

/* One JSON document; *ret_json is the caller's to free(). 0 or -ENOMEM. */
int ship_config__to_json(const struct ship_config *config, char **ret_json);
/* 0, -EINVAL with what is wrong in err, -ENOMEM. */
int ship_config__from_json(struct ship_config *ret_config, const char *json, size_t len,
			   struct err *err);

/*
 * Says how this terminal or pipe wants it: width, colour (NO_COLOR, TERM=dumb), Unicode (locale).
 * Called by the parent, which sees the terminal.
 */
void ship_console__look(struct ship_console *console);
/* Does the expression parse? 0, or -EINVAL with where and why. NULL is fine. */
int ship_console__check_where(const char *where, struct err *err);

/*
 * The OTLP sink that the environment describes: OTEL_EXPORTER_OTLP_[TRACES_]*, OTEL_BSP_*.
 * Warnings (bad numbers, unknown enums: ignored) are collected. 0, or a negative errno: the
 * endpoint cannot be used at all, or a certificate cannot be read.
 */
int ship_otlp__from_env(struct ship_otlp *otlp, const struct otel_env *env,
			struct otel_warnings *warnings, struct err *err);

/*
 * --otlp URL on top of what the environment said: http://host:4318, https://…, grpc://host:4317,
 * grpcs://…; a path is taken verbatim and means HTTP. Without one, http and https follow the
 * protocol that the environment said (default http/protobuf, v1/traces is appended). Headers and
 * the rest stay.
 */
int ship_otlp__set_url(struct ship_otlp *otlp, const char *url, struct err *err);

/*
 * Reads the certificate files of an https endpoint into *_pem. 0, or a negative errno with what
 * cannot be read in err. Called by the functions around it.
 */
int ship_otlp__read_files(struct ship_otlp *otlp, struct err *err);

/*
 * What the environment wants of an agent: OTEL_TRACES_EXPORTER (otlp, console, none, lists;
 * default otlp) as sinks of config. The console sink writes to console_fd. OTEL_CONFIG_FILE is
 * not looked at here: see ship__from_file().
 */
int ship__from_env(struct ship_config *config, const struct otel_env *env, int console_fd,
		   struct otel_warnings *warnings, struct err *err);

/* What a configuration file holds beside the sinks. */
struct ship_file_settings {
	bool disabled;
	bool has_sampler;
	struct otel_sampler sampler;
	struct otel_pairs resource; /* resource.attributes and .attributes_list */
};

/*
 * OTEL_CONFIG_FILE: opentelemetry-configuration schema 1.x in YAML. ${env:NAME}, ${NAME},
 * ${NAME:-default} are replaced from env. text is the file's content, name is for messages. What
 * sonde does not use is passed over; a wrong type or an unusable exporter is an error.
 */
int ship__from_file(struct ship_config *config, struct ship_file_settings *ret_settings,
		    const char *text, size_t len, const char *name, const struct otel_env *env,
		    int console_fd, struct otel_warnings *warnings, struct err *err);

struct frames;

/* Frames come through fd, or, where frames is not NULL, from that memory, and fd wakes us (supervise/frames.h). */
struct ship_input {
	int fd;
	struct frames *frames;
};

/*
 * Inputs: trace's, and, behind it, one whose writer can wait where sinks have much to do. Runs until all have ended, SIGTERM, or CONTROL_FINISH on control_fd (supervise/control.h; -1:
 * none), then flushes for at most SHIP_FLUSH_MS. CONTROL_LIMIT is sent when a console's limit is
 * reached or its reader has gone. account is shared memory; sets of sinks are taken by name, so
 * that a restarted ship goes on with the counters of the one before it (whose queue is counted as
 * dropped_restart). SIGTERM, SIGINT and SIGPIPE are handled in here. Returns 0 or a negative errno with err set.
 */
int ship__run(const struct ship_config *config, const struct ship_input *inputs,
	      unsigned int n_inputs, int control_fd, struct account *account, struct err *err);

#endif
