// SPDX-License-Identifier: Apache-2.0
#include "cmd/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/siphash.h"
#include "cmd/command.h"
#include "probe/identity.h"
#include "ship/store/folder.h"
#include "ship/store/store.h"
#include "supervise/roles.h"

#define FLEET_KEY_FILE "/etc/sonde/fleet.key"
#define CONFIG_MAX_BYTES (1 << 20)
#define OWN_STORE_BYTES (256ull << 20)
/* Attributes of every resource: what a process adds of its own must still fit. */
#define RESOURCE_PAIRS_MAX 32

int plan__open_output(const char *command, const char *option, const char *path, unsigned int mode)
{
	struct stat st;
	int fd;

	if (!strcmp(path, "-"))
		return STDOUT_FILENO;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	if (fd < 0) {
		fprintf(stderr, "sonde %s: %s: cannot write %s: %s\n", command, option, path,
			strerror(errno));
		return fd;
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return fd; /* a pipe, a device: taken as it is */
	if (st.st_mode & 0777 & ~mode && !(mode & 077)) {
		/* a file that was there, and that others may read */
		if (st.st_uid != geteuid() || fchmod(fd, mode)) {
			fprintf(stderr,
				"sonde %s: %s: %s belongs to somebody else, who could read it: "
				"name another "
				"file\n",
				command, option, path);
			close(fd);
			return -1;
		}
	}
	if (ftruncate(fd, 0))
		log_warn("cannot empty %s: %s", path, strerror(errno));
	return fd;
}

/* One key for a fleet, from a file that whoever runs it puts on every host; else one of our own. */
static int fleet_key(uint8_t key[16])
{
	const char *path = getenv("SONDE_FLEET_KEY_FILE");
	int fd = open(path ? path : FLEET_KEY_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0) {
		if (!path && errno == ENOENT)
			return getrandom(key, 16, 0) == 16 ? 0 : -EIO;
		fprintf(stderr, "sonde: cannot read the fleet key %s: %s\n",
			path ? path : FLEET_KEY_FILE, strerror(errno));
		return -EIO;
	}
	n = read(fd, key, 16);
	close(fd);
	if (n == 16)
		return 0;
	fprintf(stderr,
		"sonde: the fleet key %s is shorter than 16 bytes; make one with: head -c 16 "
		"/dev/urandom\n",
		path ? path : FLEET_KEY_FILE);
	return -EINVAL;
}

/* 128 bits from the boot's UUID, as text in /proc. */
static void boot_id(uint8_t id[16])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	char text[64] = "";
	unsigned int n = 0;

	memset(id, 0, 16);
	if (f && fgets(text, sizeof(text), f))
		for (const char *s = text; *s && n < 32; s++) {
			int digit = *s >= '0' && *s <= '9' ? *s - '0' :
				    *s >= 'a' && *s <= 'f' ? *s - 'a' + 10 :
							     -1;

			if (digit < 0)
				continue;
			id[n / 2] |= (uint8_t)(n & 1 ? digit : digit << 4);
			n++;
		}
	if (f)
		fclose(f);
}

static void host_key(uint8_t key[8])
{
	static const uint8_t fixed[16] = "sonde host key  ";
	char text[64] = "";
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	uint64_t hash;

	if (fd >= 0)
		close(fd);
	if (n < 32) {
		gethostname(text, sizeof(text) - 1);
		n = (ssize_t)strlen(text);
	}
	hash = siphash24(fixed, text, (size_t)n);
	memcpy(key, &hash, 8);
}

static void print_warnings(const struct otel_warnings *warnings)
{
	for (unsigned int i = 0; i < warnings->n; i++)
		log_warn("%s", warnings->text[i]);
	if (warnings->more)
		log_warn("and %u more", warnings->more);
}

/* A line a span on stderr beside a command, else on stdout; none where spans go elsewhere, unless asked for. */
static int add_console(struct run_plan *plan, const struct run_options *o)
{
	bool elsewhere = o->file || o->otlp || o->store || o->ui.address;
	struct ship_sink_config *sink;
	struct err err = { "" };

	if (ship_console__check_where(o->where, &err)) {
		fprintf(stderr, "sonde %s: %s\n", o->command_name, err.text);
		return EXIT_USAGE;
	}
	if (o->json && !o->file) {
		sink = ship_config__add(&plan->ship, SHIP_FILE);
		sink->file.fd = STDOUT_FILENO;
		elsewhere = true;
	}
	if ((elsewhere || o->quiet) && !o->tree && !o->summary && !o->where && !o->limit &&
	    !o->verbose)
		return 0;
	sink = ship_config__add(&plan->ship, SHIP_CONSOLE);
	sink->console.fd = o->command || (o->file && !strcmp(o->file, "-")) || o->json ?
				   STDERR_FILENO :
				   STDOUT_FILENO;
	sink->console.tree = o->tree;
	sink->console.summary = o->summary;
	sink->console.lines = !o->tree && !o->summary && !(elsewhere && !o->where && !o->verbose);
	sink->console.headers = o->headers;
	sink->console.limit = o->limit;
	if (o->where) {
		sink->console.where = strdup(o->where);
		if (!sink->console.where)
			return EXIT_FAILED;
	}
	ship_console__look(&sink->console);
	return 0;
}

static int add_otlp(struct ship_config *ship, const struct run_options *o)
{
	struct otel_env env = otel_env__process();
	struct otel_warnings warnings = { 0 };
	struct ship_sink_config *sink;
	struct err err = { "" };
	int ret;

	if (!o->otlp)
		return 0;
	sink = ship_config__add(ship, SHIP_OTLP);
	ret = ship_otlp__from_env(&sink->otlp, &env, &warnings, &err);
	if (!ret)
		ret = ship_otlp__set_url(&sink->otlp, o->otlp, &err);
	print_warnings(&warnings);
	if (!ret)
		return 0;
	fprintf(stderr, "sonde %s: %s\n", o->command_name, err.text);
	return EXIT_USAGE;
}

static int add_file(struct run_plan *plan, const struct run_options *o)
{
	struct ship_sink_config *sink;
	int fd;

	if (!o->file)
		return 0;
	fd = plan__open_output(o->command_name, "-o", o->file, 0644);
	if (fd < 0)
		return o->command ? EXIT_SONDE : EXIT_FAILED;
	plan->file_fd = fd == STDOUT_FILENO ? -1 : fd;
	sink = ship_config__add(&plan->ship, SHIP_FILE);
	sink->file.fd = fd == STDOUT_FILENO ? fd : FD_SINKS;
	return 0;
}

/* Only for as long as somebody looks at the page. */
static const char *own_store(struct run_plan *plan, const struct run_options *o)
{
	const char *parent = getenv("TMPDIR");
	char path[4096];

	snprintf(path, sizeof(path), "%s/sonde-XXXXXX", parent && *parent ? parent : "/tmp");
	if (!mkdtemp(path)) {
		fprintf(stderr,
			"sonde %s: --ui: cannot make a folder for what is shown, %s: %s; --store "
			"DIR "
			"names another\n",
			o->command_name, path, strerror(errno));
		return NULL;
	}
	plan->own_store = strdup(path);
	return plan->own_store;
}

/* What is stored is counted by the run, as the role that stores may be started again. */
static int add_store(struct run_plan *plan, const struct run_options *o)
{
	const char *folder = o->store;
	struct ship_sink_config *sink;
	struct err err = { "" };

	if (o->ui.address && !folder && plan->agent) {
		folder = STORE_FOLDER_DEFAULT;
	} else if (o->ui.address && !folder) {
		folder = own_store(plan, o);
		if (!folder)
			return o->command ? EXIT_SONDE : EXIT_FAILED;
	}
	if (!folder)
		return 0;
	sink = ship_config__add(&plan->ship, SHIP_STORE);
	sink->store.bytes_max = plan->own_store && o->store_bytes == STORE_BYTES_DEFAULT ?
					OWN_STORE_BYTES :
					o->store_bytes;
	sink->store.age_s = o->store_age_s;
	sink->store.shared = o->ui.address != NULL;
	if (store_folder__make(folder, &sink->store.folder, &err)) {
		fprintf(stderr, "sonde %s: --store: %s\n", o->command_name, err.text);
		return o->command ? EXIT_SONDE : EXIT_FAILED;
	}
	if (getrandom(&sink->store.run, sizeof(sink->store.run), 0) < 0)
		return EXIT_FAILED;
	sink->store.run >>= 2; /* a number of JSON and SQLite */
	return o->ui.address ? ui__make(&plan->ui, &o->ui, o->command_name, sink->store.folder) : 0;
}

static char *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	char *text;

	if (!f)
		return NULL;
	text = malloc(CONFIG_MAX_BYTES);
	if (text)
		*ret_len = fread(text, 1, CONFIG_MAX_BYTES, f);
	fclose(f);
	return text;
}

static void set_sampler(struct trace_settings *trace, struct otel_sampler sampler)
{
	trace->sampler = (uint32_t)sampler.kind;
	trace->sampler_ratio = sampler.ratio;
}

/* The configuration file, with which nothing else of the environment counts. */
static int from_file(const char *path, struct ship_config *ship, struct trace_settings *trace,
		     struct otel_pairs *ret_resource)
{
	struct otel_env env = otel_env__process();
	struct otel_warnings warnings = { 0 };
	struct ship_file_settings settings = { 0 };
	struct err err = { "" };
	size_t len = 0;
	char *text = read_file(path, &len);
	int ret;

	if (!text) {
		fprintf(stderr, "sonde: cannot read the configuration file %s: %s\n", path,
			strerror(errno));
		return EXIT_USAGE;
	}
	ret = ship__from_file(ship, &settings, text, len, path, &env, STDOUT_FILENO, &warnings,
			      &err);
	free(text);
	print_warnings(&warnings);
	if (ret) {
		fprintf(stderr, "sonde: %s\n", err.text);
		return EXIT_USAGE;
	}
	if (settings.has_sampler)
		set_sampler(trace, settings.sampler);
	*ret_resource = settings.resource;
	if (!settings.disabled)
		return 0;
	log_info("%s says `disabled: true`: nothing to do", path);
	return PLAN_NOTHING;
}

/* What an agent exports to, when its command line does not say: the file, else the environment. */
static int agent_sinks(const struct run_options *o, struct ship_config *ship,
		       struct trace_settings *trace, struct otel_pairs *ret_resource)
{
	struct otel_env env = otel_env__process();
	struct otel_warnings warnings = { 0 };
	const char *file = o->config ? o->config : otel_env__get(&env, "OTEL_CONFIG_FILE");
	struct err err = { "" };
	int ret;

	if (file)
		return from_file(file, ship, trace, ret_resource);
	set_sampler(trace, otel_env__sampler(&env, &warnings));
	if (otel_env__resource(&env, ret_resource, &warnings))
		return EXIT_FAILED;
	ret = o->file || o->otlp || o->store || o->ui.address ?
		      0 :
		      ship__from_env(ship, &env, STDOUT_FILENO, &warnings, &err);
	print_warnings(&warnings);
	if (!ret)
		return 0;
	fprintf(stderr, "sonde agent: %s\n", err.text);
	return EXIT_USAGE;
}

/* Sinks of the command line stay as they are: their descriptors are open. */
static int reload(const struct run_plan *plan, struct ship_config *ret_ship)
{
	struct trace_settings fresh = { .sampler_ratio = 1 };
	struct otel_pairs ignored = { 0 };
	const struct ship_sink_config *old;
	struct ship_sink_config *sink;
	int ret = agent_sinks(plan->options, ret_ship, &fresh, &ignored);

	otel_pairs__free(&ignored);
	if (!ret)
		ret = add_otlp(ret_ship, plan->options);
	if (!ret)
		ret = receiving__check_loop(&plan->receiving, ret_ship, "agent");
	for (uint32_t i = 0; i < plan->ship.n_sinks && !ret; i++) {
		old = &plan->ship.sinks[i];
		if (old->type == SHIP_STORE) {
			sink = ship_config__add(ret_ship, SHIP_STORE);
			if (sink) {
				sink->store = old->store;
				sink->store.folder = strdup(old->store.folder);
			}
		}
		if (old->type != SHIP_FILE)
			continue;
		sink = ship_config__add(ret_ship, SHIP_FILE);
		if (sink)
			sink->file.fd = old->file.fd;
	}
	if (fresh.sampler != plan->settings.sampler ||
	    fresh.sampler_ratio != plan->settings.sampler_ratio)
		log_warn("another sampler takes effect when the agent is started again");
	return ret;
}

static int trace_settings(struct run_plan *plan, const struct run_options *o,
			  struct otel_pairs *ret_resource)
{
	struct otel_env env = otel_env__process();
	struct otel_warnings warnings = { 0 };

	if (o->config)
		return from_file(o->config, &plan->ship, &plan->settings, ret_resource);
	set_sampler(&plan->settings, otel_env__sampler(&env, &warnings));
	print_warnings(&warnings);
	return 0;
}

/*
 * What the agent was told of every resource: environment, cluster, region. Names of services are
 * the traced programs' own. Encoded as in core/message.h.
 */
static void add_resource(struct run_plan *plan, const struct otel_pairs *pairs)
{
	for (unsigned int i = 0; i < pairs->n; i++) {
		size_t key = strlen(pairs->at[i].key), value = strlen(pairs->at[i].value);
		uint16_t lengths[2] = { (uint16_t)key, (uint16_t)value };
		uint8_t type[4] = { 0 };

		if (!strncmp(pairs->at[i].key, "service.", 8) || key > 1024 || value > 4096 ||
		    plan->settings.n_host_attributes == RESOURCE_PAIRS_MAX)
			continue;
		buf__add(&plan->host_attributes, lengths, sizeof(lengths));
		buf__add(&plan->host_attributes, type, sizeof(type));
		buf__add(&plan->host_attributes, pairs->at[i].key, key);
		buf__add(&plan->host_attributes, pairs->at[i].value, value);
		plan->settings.n_host_attributes++;
	}
}

static void known_methods(struct run_plan *plan)
{
	struct otel_env env = otel_env__process();
	const char *list = otel_env__get(&env, "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS");

	if (list)
		snprintf(plan->settings.known_methods, sizeof(plan->settings.known_methods), "%s",
			 list);
}

/* What is taken in goes where what is traced goes. */
static int add_receiving(struct run_plan *plan, const struct run_options *o)
{
	int ret = receiving__make(&plan->receiving, &o->receiving, &o->ui, o->command_name);

	return ret ? ret : receiving__check_loop(&plan->receiving, &plan->ship, o->command_name);
}

static struct run_plan empty_plan(const struct run_options *o)
{
	return (struct run_plan){ .options = o,
				  .file_fd = -1,
				  .record_fd = -1,
				  .ledger_fd = -1,
				  .ui = { .listening = -1 },
				  .receiving = RECEIVING_NONE };
}

int plan__make_untraced(struct run_plan *plan, const struct run_options *o)
{
	int ret;

	*plan = empty_plan(o);
	plan->untraced = true;
	ret = add_store(plan, o);
	if (!ret)
		ret = add_otlp(&plan->ship, o);
	if (!ret)
		ret = add_receiving(plan, o);
	if (!ret && o->ledger) {
		plan->ledger_fd = plan__open_output(o->command_name, "--ledger", o->ledger, 0644);
		ret = plan->ledger_fd < 0 ? EXIT_FAILED : 0;
	}
	return ret;
}

int plan__make(struct run_plan *plan, const struct run_options *o, bool agent)
{
	struct otel_pairs resource = { 0 };
	int ret;

	*plan = empty_plan(o);
	plan->agent = agent;
	plan->settings.sampler_ratio = 1;
	plan->settings.headers = o->headers;
	if (fleet_key(plan->settings.fleet_key))
		return EXIT_FAILED;
	boot_id(plan->settings.boot_id);
	host_key(plan->settings.host_key);
	known_methods(plan);
	if (identity__host_attributes(&plan->host_attributes, &plan->settings.n_host_attributes))
		return EXIT_FAILED;
	ret = agent ? agent_sinks(o, &plan->ship, &plan->settings, &resource) :
		      trace_settings(plan, o, &resource);
	add_resource(plan, &resource);
	otel_pairs__free(&resource);
	if (agent)
		plan->reload = reload;
	if (!ret && !agent)
		ret = add_console(plan, o);
	if (!ret)
		ret = add_file(plan, o);
	if (!ret)
		ret = add_store(plan, o);
	if (!ret)
		ret = add_otlp(&plan->ship, o);
	if (!ret)
		ret = add_receiving(plan, o);
	if (!ret && o->ledger) {
		plan->ledger_fd = plan__open_output(o->command_name, "--ledger", o->ledger, 0644);
		ret = plan->ledger_fd < 0 ? (o->command ? EXIT_SONDE : EXIT_FAILED) : 0;
	}
	return ret;
}

static void plan_free(struct run_plan *plan)
{
	ui__free(&plan->ui);
	receiving__free(&plan->receiving);
	if (plan->own_store)
		rmdir(plan->own_store); /* where the run did not come to it */
	free(plan->own_store);
	ship_config__free(&plan->ship);
	buf__free(&plan->host_attributes);
	if (plan->ledger_fd > STDERR_FILENO)
		close(plan->ledger_fd);
	if (plan->record_fd > STDERR_FILENO)
		close(plan->record_fd);
	if (plan->file_fd >= 0)
		close(plan->file_fd);
}

int plan__run(struct run_plan *plan, int status)
{
	if (!status)
		status = run__plan(plan);
	plan_free(plan);
	return status == PLAN_NOTHING ? EXIT_DONE : status;
}
