// SPDX-License-Identifier: Apache-2.0
/*
 * The real ship code with frames from standard input, for tests of backends and outputs.
 *
 *	ship_frames [--env] [--otlp URL] [--config FILE] [-o FILE] [--store DIR [--store-bytes N]] [--console]
 *		[--tree] [-c] [--headers] [--where EXPR] [-n N] [--json] [--by-size] [--account FILE] [--watch FILE]
 *		[--control FD] < frames
 *
 * The account lies in FILE while it runs (a memory map that the test reads) and is printed to
 * standard error at the end, one JSON line that begins with "account ". --layout prints where the
 * counters lie; --watch puts into FILE what the store is at (store_watch.h); --json sends the configuration through its JSON form first, as the parent does.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ship/ship.h"
#include "store_watch.h"

static int print_layout(void)
{
	printf("{\"sinks\":%zu,\"each\":%zu,\"counters\":[", offsetof(struct account, sinks),
	       sizeof(struct account_sink));
#define X(name, comment) printf("[\"" #name "\",%zu],", offsetof(struct account_sink, name));
	ACCOUNT_SINK(X)
#undef X
	printf("null]}\n");
	return 0;
}

static void print_account(const struct account *account)
{
	const char *between = "";

	fprintf(stderr, "account {");
	for (int i = 0; i < ACCOUNT_SINKS_MAX; i++) {
		const struct account_sink *a = &account->sinks[i];

		if (!*a->name)
			continue;
		fprintf(stderr, "%s\"%s\":{", between, a->name);
#define X(member, comment) fprintf(stderr, "\"" #member "\":%" PRIu64 ",", a->member);
		ACCOUNT_SINK(X)
#undef X
		fprintf(stderr, "\"_\":0}");
		between = ",";
	}
	fprintf(stderr, "}\n");
}

static void *map_file(const char *path, size_t bytes)
{
	int fd = path ? open(path, O_RDWR | O_CREAT, 0600) : memfd_create("account", 0);

	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		return MAP_FAILED;
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static struct store_watch *watch;

/* Before a statement is run. What says nothing of its own belongs to what was before. */
static int on_statement(unsigned int what, void *arg, void *stmt, void *text)
{
	static const struct {
		const char *begin;
		enum store_at at;
	} known[] = {
		{ "PRAGMA quick_check", AT_OPEN },
		{ "PRAGMA page_size=", AT_OPEN },
		{ "SELECT id, data FROM block", AT_OPEN },
		{ "CREATE TABLE", AT_NEW },
		{ "PRAGMA application_id=", AT_NEW },
		{ "INSERT OR REPLACE INTO block", AT_BLOCK },
		{ "INSERT INTO posting", AT_SEAL },
		{ "INSERT INTO segment", AT_SEAL },
		{ "PRAGMA journal_mode=DELETE", AT_CLOSE },
		{ "SELECT traces", AT_EVICT },
		{ "INSERT OR IGNORE INTO", AT_EVICT },
		{ "INSERT INTO merged", AT_MERGE },
		{ "DELETE FROM posting", AT_MERGE },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strncmp(text, known[i].begin, strlen(known[i].begin)))
			continue;
		__atomic_store_n(&watch->at, known[i].at, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&watch->times[known[i].at], 1, __ATOMIC_SEQ_CST);
		break;
	}
	return 0;
}

static int on_database(sqlite3 *db, const char **error, const struct sqlite3_api_routines *api)
{
	return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, NULL);
}

static void watch_store(const char *path)
{
	watch = map_file(path, sizeof(*watch));
	if (watch == MAP_FAILED ||
	    sqlite3_auto_extension((void (*)(void))on_database) != SQLITE_OK) {
		fprintf(stderr, "%s cannot be watched\n", path);
		exit(2);
	}
}

static struct ship_sink_config *add(struct ship_config *config, enum ship_sink_type type)
{
	struct ship_sink_config *sink = ship_config__add(config, type);

	if (!sink) {
		fprintf(stderr, "too many sinks\n");
		exit(2);
	}
	return sink;
}

static void fail(const struct err *err)
{
	fprintf(stderr, "error: %s\n", err->text);
	exit(2);
}

static void add_file(struct ship_config *config, const char *path)
{
	int fd = strcmp(path, "-") ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : 1;

	if (fd < 0) {
		perror(path);
		exit(2);
	}
	add(config, SHIP_FILE)->file.fd = fd;
}

static struct ship_console *console_of(struct ship_config *config)
{
	for (uint32_t i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].type == SHIP_CONSOLE)
			return &config->sinks[i].console;
	struct ship_console *console = &add(config, SHIP_CONSOLE)->console;

	console->fd = 1;
	ship_console__look(console);
	return console;
}

static void add_config_file(struct ship_config *config, const char *path,
			    const struct otel_env *env, struct otel_warnings *warnings)
{
	struct ship_file_settings settings = { 0 };
	char *text = calloc(1, 1 << 20);
	struct err err = { "" };
	FILE *file = fopen(path, "r");
	size_t n = file && text ? fread(text, 1, (1 << 20) - 1, file) : 0;

	if (ship__from_file(config, &settings, text, n, path, env, 1, warnings, &err))
		fail(&err);
	fprintf(stderr, "settings disabled=%d sampler=%d/%d/%g", settings.disabled,
		settings.has_sampler, settings.sampler.kind, settings.sampler.ratio);
	for (unsigned int i = 0; i < settings.resource.n; i++)
		fprintf(stderr, " %s=%s", settings.resource.at[i].key,
			settings.resource.at[i].value);
	fprintf(stderr, "\n");
	otel_pairs__free(&settings.resource);
	if (file)
		fclose(file);
	free(text);
}

static void through_json(struct ship_config *config)
{
	struct err err = { "" };
	char *json;

	if (ship_config__to_json(config, &json))
		exit(2);
	ship_config__free(config);
	if (ship_config__from_json(config, json, strlen(json), &err))
		fail(&err);
	free(json);
}

struct options {
	struct ship_config config;
	struct otel_warnings warnings;
	const char *account;
	int control;
	bool json, dump;
};

/* Returns whether the next argument belongs to this one. */
static bool take(struct options *o, const char *option, const char *value)
{
	struct otel_env env = otel_env__process();
	struct ship_config *config = &o->config;
	struct err err = { "" };

	if (!strcmp(option, "--env")) {
		if (ship__from_env(config, &env, 1, &o->warnings, &err))
			fail(&err);
		return false;
	}
	if (!strcmp(option, "--console"))
		return console_of(config) == NULL;
	if (!strcmp(option, "--tree"))
		return !(console_of(config)->tree = true);
	if (!strcmp(option, "--unicode"))
		return !(console_of(config)->unicode = true);
	if (!strcmp(option, "--color"))
		return !(console_of(config)->color = true);
	if (!strcmp(option, "-c"))
		return !(console_of(config)->summary = true);
	if (!strcmp(option, "--headers"))
		return !(console_of(config)->headers = true);
	if (!strcmp(option, "--json"))
		return !(o->json = true);
	if (!strcmp(option, "--by-size"))
		return !(config->sinks[config->n_sinks - 1].file.by_size = true);
	if (!strcmp(option, "--dump"))
		return !(o->dump = true);
	if (!value) {
		fprintf(stderr, "%s: unknown, or a value is missing\n", option);
		exit(2);
	}
	if (!strcmp(option, "--otlp")) {
		struct ship_otlp *otlp = &add(config, SHIP_OTLP)->otlp;

		if (ship_otlp__from_env(otlp, &env, &o->warnings, &err) ||
		    ship_otlp__set_url(otlp, value, &err))
			fail(&err);
	} else if (!strcmp(option, "-o")) {
		add_file(config, value);
	} else if (!strcmp(option, "--store")) {
		struct ship_store *store = &add(config, SHIP_STORE)->store;

		/* As the role does it: the store is the folder that it works in. */
		if (!(store->folder = realpath(value, NULL)) || chdir(value)) {
			perror(value);
			exit(2);
		}
		store->bytes_max = 1ULL << 30;
		store->age_s = 365 * 24 * 3600;
	} else if (!strcmp(option, "--store-bytes")) {
		config->sinks[config->n_sinks - 1].store.bytes_max = strtoull(value, NULL, 10);
	} else if (!strcmp(option, "--watch")) {
		watch_store(value);
	} else if (!strcmp(option, "--config")) {
		add_config_file(config, value, &env, &o->warnings);
	} else if (!strcmp(option, "--width")) {
		console_of(config)->width = (uint32_t)atoi(value);
	} else if (!strcmp(option, "--where")) {
		console_of(config)->where = strdup(value);
		if (ship_console__check_where(value, &err))
			fail(&err);
	} else if (!strcmp(option, "-n")) {
		console_of(config)->limit = strtoull(value, NULL, 10);
	} else if (!strcmp(option, "--queue-bytes")) {
		config->sinks[config->n_sinks - 1].otlp.queue_bytes_max = strtoull(value, NULL, 10);
	} else if (!strcmp(option, "--control")) {
		o->control = atoi(value);
	} else if (!strcmp(option, "--account")) {
		o->account = value;
	} else {
		fprintf(stderr, "%s: unknown\n", option);
		exit(2);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct options o = { .account = NULL, .control = -1 };
	struct err err = { "" };
	struct account *account;
	char *json;
	int ret;

	if (argc == 2 && !strcmp(argv[1], "--layout"))
		return print_layout();
	for (int i = 1; i < argc; i++)
		i += take(&o, argv[i], argv[i + 1]);
	for (unsigned int i = 0; i < o.warnings.n; i++)
		fprintf(stderr, "warning: %s\n", o.warnings.text[i]);
	if (o.json)
		through_json(&o.config);
	if (o.dump) {
		if (ship_config__to_json(&o.config, &json))
			return 1;
		puts(json);
		free(json);
		ship_config__free(&o.config);
		return 0;
	}
	account = map_file(o.account, sizeof(*account));
	if (account == MAP_FAILED)
		return 1;
	ret = ship__run(&o.config, &(struct ship_input){ 0, NULL }, 1, o.control, account, &err);
	if (ret)
		fprintf(stderr, "error: %s\n", err.text);
	print_account(account);
	ship_config__free(&o.config);
	return ret ? 1 : 0;
}
