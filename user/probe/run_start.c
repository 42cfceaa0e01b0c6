// SPDX-License-Identifier: Apache-2.0
/* The start of a run: the command held still, hooks attached, roles started, then the command let go. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/terminal.h"
#include "cmd/command.h"
#include "probe/run_internal.h"
#include "probe/scope_list.h"
#include "ship/store/folder.h"
#include "supervise/sandbox.h"

static struct capture_options capture_options(const struct run *run)
{
	struct capture_options options = { 0 };

	scope_list__options(&run->options->scope, run->options->command != NULL, &options);
	options.tier = run->options->tier;
	options.ring_bytes = (uint32_t)run->options->ring_bytes;
	options.verbose = run->options->verbose > 1;
	return options;
}

static int open_capture(struct run *run, struct err *err)
{
	struct capture_options options = capture_options(run);

	int ret;

	if (run->plan->replay || run->plan->untraced)
		return 0;
	ret = capture__open(&options, &run->capture, err);
	/* a command is not let go before they are there, and the roles take their time, too */
	if (!ret && run->options->command)
		capture__tls_prepare(run->capture);
	return ret;
}

/* Once everything that a request passes through is there. */
static int begin_capture(struct run *run, struct err *err)
{
	struct capture_options options = capture_options(run);

	return capture__begin(run->capture, &options, err);
}

/* SONDE_RING=drain takes that way on every kernel, so that it can be tested on every kernel. */
static bool must_drain(const struct run *run)
{
	const char *forced = getenv("SONDE_RING");

	return !capture__ring_page_safe(run->capture) || (forced && !strcmp(forced, "drain"));
}

static int pass_capture(struct run *run, struct err *err)
{
	struct supervisor *s = &run->supervisor;
	int ret;

	if (!run->capture)
		return 0;
	supervisor__pass(s, AT_TRACE, capture__slots_fd(run->capture), FD_SLOTS);
	if (run->plan->settings.source == SOURCE_RING) {
		supervisor__pass(s, AT_TRACE, capture__ring_fd(run->capture), FD_RING);
		supervisor__pass(s, AT_TRACE, capture__switches_fd(run->capture), FD_SWITCHES);
		return 0;
	}
	ret = drain__new(capture__ring_fd(run->capture), capture__switches_fd(run->capture),
			 capture__ring_bytes(run->capture), &run->drain, err);
	if (ret)
		return ret;
	supervisor__pass(s, AT_TRACE, drain__buffer_fd(run->drain), FD_DRAIN);
	supervisor__pass(s, AT_TRACE, drain__wake_fd(run->drain), FD_RING);
	supervisor__pass(s, AT_TRACE, drain__switches_fd(run->drain), FD_SWITCHES);
	drain__run(run->drain);
	return run__watch(run, capture__ring_fd(run->capture));
}

/* While we still may: probe gives up what it needs for that. */
static int give_stores(struct run *run, struct err *err)
{
	const struct ship_config *ship = &run->plan->ship;
	int ret = 0;

	for (uint32_t i = 0; i < ship->n_sinks && !ret; i++) {
		struct err why = { "" };

		if (ship->sinks[i].type != SHIP_STORE)
			continue;
		ret = store_folder__give(ship->sinks[i].store.folder,
					 run->supervisor.roles[AT_SHIP].uid,
					 ship->sinks[i].store.shared, &why);
		if (ret)
			*err = why;
		else if (*why.text)
			log_warn("%s", why.text);
	}
	return ret;
}

static int pass_serve(struct run *run, struct err *err)
{
	const struct ui *ui = &run->plan->ui;
	struct buf config = { 0 };
	char *json = NULL;
	int ret;

	if (ui->listening < 0)
		return 0;
	ret = serve_config__to_json(&ui->config, &json);
	if (!ret)
		buf__add_str(&config, json);
	if (!ret)
		ret = supervisor__serve(&run->supervisor, &config, ui->listening);
	free(json);
	buf__free(&config);
	return ret ? err__set(err, ret, "cannot hand the configuration over: %s", strerror(-ret)) :
		     0;
}

static int pass_receiving(struct run *run, struct err *err)
{
	const struct receiving *r = &run->plan->receiving;
	struct buf config = { 0 };
	char *json = NULL;
	int ret;

	if (r->http < 0 && r->grpc < 0)
		return 0;
	ret = serve_config__to_json(&r->config, &json);
	if (!ret)
		buf__add_str(&config, json);
	if (!ret)
		ret = supervisor__receive(&run->supervisor, &config, r->http, r->grpc);
	free(json);
	buf__free(&config);
	return ret ? err__set(err, ret, "cannot set the receiver up: %s", strerror(-ret)) : 0;
}

/* Settings that follow from what was loaded; descriptors to hand over. */
static int start_roles(struct run *run, struct err *err)
{
	struct run_plan *plan = run->plan;
	struct buf settings = { 0 }, ship = { 0 };
	char *json = NULL;
	int ret;

	plan->settings.host_attributes_bytes = (uint32_t)plan->host_attributes.len;
	plan->settings.verbose = (uint32_t)run->options->verbose;
	if (plan->replay) {
		plan->settings.source = SOURCE_FILE;
		plan->settings.recording = 0;
	} else if (run->capture) {
		plan->settings.source = must_drain(run) ? SOURCE_DRAIN : SOURCE_RING;
		plan->settings.ring_bytes = capture__ring_bytes(run->capture);
		plan->settings.slots = capture__slots(run->capture);
		plan->settings.recording = plan->record_fd >= 0;
	}
	buf__add(&settings, &plan->settings, sizeof(plan->settings));
	buf__add(&settings, plan->host_attributes.at, plan->host_attributes.len);
	ret = ship_config__to_json(&plan->ship, &json);
	if (!ret)
		buf__add_str(&ship, json);
	if (!ret)
		ret = supervisor__new(&run->supervisor, &settings, &ship, err);
	free(json);
	buf__free(&settings);
	buf__free(&ship);
	if (ret)
		return ret;
	ret = give_stores(run, err);
	if (ret)
		return ret;
	ret = pass_capture(run, err);
	if (ret)
		return ret;
	if (plan->record_fd >= 0)
		supervisor__pass(&run->supervisor, AT_TRACE, plan->record_fd, FD_RECORD);
	if (plan->file_fd >= 0)
		supervisor__pass(&run->supervisor, AT_SHIP, plan->file_fd, FD_SINKS);
	ret = pass_serve(run, err);
	if (!ret)
		ret = pass_receiving(run, err);
	if (ret)
		return ret;
	run->supervisor.untraced = plan->untraced;
	ret = supervisor__start(&run->supervisor, err);
	/* A file is read once: whichever role ends then is not started again. */
	run->supervisor.finishing = plan->replay;
	run__disown_roles(run);
	run__watch_roles(run);
	return ret;
}

static int start_command(struct run *run)
{
	int ret = child__go(&run->child);

	if (!ret)
		return 0;
	fprintf(stderr, "sonde: cannot run '%s': %s\n", run->options->command[0], strerror(-ret));
	return child__exec_status(ret);
}

static int start_inspect(struct run *run, struct err *err)
{
	uid_t taken[SUPERVISED];
	int ret;

	for (unsigned int at = 0; at < SUPERVISED; at++)
		taken[at] = run->supervisor.roles[at].uid;
	ret = identify__start(&run->identify, taken, SUPERVISED, err);
	run__watch_inspect(run);
	return ret;
}

static int wait_for_events(struct run *run)
{
	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run->epoll < 0)
		return -errno;
	run->signals = signals__take(run->plan->agent, &run->before);
	return run->signals < 0 ? run->signals : run__watch(run, run->signals);
}

/* Hooks in TLS libraries before 6.6 are a descriptor each, and what tells of mappings one a processor. */
#define FILES_WANTED 16384

/*
 * A low soft limit is for programs that use select(2). A low hard one is for whoever it was given to: it
 * may be raised as long as we hold what root holds, and a command has got its own by now.
 */
static void raise_limits(void)
{
	struct rlimit files, more;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	more.rlim_cur = more.rlim_max =
		files.rlim_max < FILES_WANTED ? FILES_WANTED : files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &more)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static int limit_ourselves(struct err *err)
{
	int ret = sandbox__limit_probe();

	return ret ? err__set(err, ret, "cannot give up capabilities: %s", strerror(-ret)) : 0;
}

static int start_all(struct run *run, struct err *err)
{
	int ret = wait_for_events(run);

	if (ret)
		return err__set(err, ret, "cannot wait for events: %s", strerror(-ret));
	if (run->options->command)
		ret = child__prepare(&run->child, run->options->command, run->options->user,
				     &run->before, err);
	raise_limits();
	if (!ret)
		ret = identify__new(&run->identify, run__send_process, run, err);
	if (!ret)
		ret = open_capture(run, err);
	if (!ret && run->child.pid)
		ret = capture__add_pid(run->capture, run->child.pid, SONDE_PID_IN);
	if (!ret)
		ret = start_roles(run, err);
	if (!ret && run->plan->untraced)
		ret = limit_ourselves(err);
	if (ret || !run->capture)
		return ret;
	ret = start_inspect(run, err);
	if (!ret)
		ret = begin_capture(run, err);
	if (!ret && run->options->command)
		run__start_tls(run);
	if (!ret && run->plan->agent)
		govern__begin(&run->govern, run->capture, &run->supervisor, &run->identify,
			      run->options->cpu_budget_percent, run->options->memory_budget_bytes);
	if (!ret)
		ret = limit_ourselves(err);
	if (!ret)
		ret = run__watch(run, capture__proc_fd(run->capture));
	return ret ? ret : scope_list__seed(&run->options->scope, run->capture, err);
}

/* The terminal is the command's as well: how it is written to is not ours to change. */
static void keep_log_going(void)
{
	int own = terminal__own(STDERR_FILENO);

	log__to(own < 0 ? STDERR_FILENO : own, false);
}

int run__start(struct run *run)
{
	struct err err = { "" };
	int ret = start_all(run, &err);

	if (ret) {
		fprintf(stderr, "sonde: %s\n", err.text[0] ? err.text : strerror(-ret));
		/* With a command, a status that no command has (env(1)). */
		return run->options->command ? EXIT_SONDE : EXIT_FAILED;
	}
	if (run->options->duration_s > 0)
		run->end_ns = clock__boot_ns() + (uint64_t)(run->options->duration_s * 1e9);
	if (run->child.pid) {
		ret = start_command(run);
		if (ret) {
			supervisor__finish(&run->supervisor, FINISH_SECONDS);
			return ret;
		}
	}
	if (run->supervisor.ready[AT_SERVE])
		log_info("traces are shown at %s", run->plan->ui.address.url);
	if (run->supervisor.ready[AT_RECEIVE])
		receiving__say(&run->plan->receiving);
	keep_log_going();
	malloc_trim(0); /* the kernel's types, megabytes of them, were only for loading */
	/* Whoever traces what runs already is to know from when on requests are seen. */
	if (run->capture && !run->options->quiet &&
	    (!run->options->command || run->options->verbose))
		log_info("hooks are attached, by tier %s", capture__tier(run->capture));
	if (run->capture && !run->options->command)
		run__start_tls(run);
	return 0;
}
