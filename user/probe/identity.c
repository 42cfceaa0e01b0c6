// SPDX-License-Identifier: Apache-2.0
#include "probe/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "core/message.h"
#include "probe/identity_attributes.h"
#include "probe/identity_memory.h"
#include "probe/identity_reading.h"
#include "probe/identity_runtime.h"
#include "probe/identity_worker.h"
#include "probe/procfs.h"

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
/* What reading takes is well below 1 ms; a machine that swaps, or has ten for each processor, needs more. */
#define READING_MAX_MS 500 /* and as much again, see worker__run() */

static int64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/*
 * CLOCK_REALTIME - CLOCK_BOOTTIME. Held still while it moves by less than 10 ms, so that the
 * creation time of a process, which identifies it, is the same each time that it is written.
 */
static int64_t epoch_offset_ns(void)
{
	static int64_t held;
	int64_t now = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_BOOTTIME);
	int64_t before = __atomic_load_n(&held, __ATOMIC_RELAXED);

	if (llabs(now - before) < 10 * NS_PER_MS)
		return before;
	__atomic_store_n(&held, now, __ATOMIC_RELAXED);
	return now;
}

/* ISO 8601 with milliseconds, as semconv's process.creation.time has it. */
static void set_creation_time(struct attributes *attributes, uint64_t start_ns)
{
	int64_t epoch_ns = (int64_t)start_ns + epoch_offset_ns();
	time_t seconds = epoch_ns / NS_PER_S;
	char text[64];
	struct tm tm;
	size_t n;

	if (!start_ns || !gmtime_r(&seconds, &tm))
		return;
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(text + n, sizeof(text) - n, ".%03dZ",
			      (int)(epoch_ns % NS_PER_S / NS_PER_MS));
	attributes__set(attributes, VIEW("process.creation.time"), (struct view){ text, n });
}

static bool opted_out(struct view environ)
{
	struct view value;

	return environ__get(environ, "SONDE_DISABLED", &value) &&
	       view_eq_nocase(value, VIEW("true"));
}

static void set_service(struct attributes *attributes, struct reading *r,
			enum service_source *ret_source)
{
	char name[SERVICE_NAME_BYTES];
	struct view value;

	if (environ__get(r->facts.environ, "OTEL_RESOURCE_ATTRIBUTES", &value))
		attributes__parse(attributes, value);
	if (attributes__get(attributes, VIEW("service.name"), &value))
		r->facts.attribute = value;
	*ret_source = service_name__choose(&r->facts, name);
	r->facts.attribute = (struct view){ NULL, 0 }; /* the next line moves what it pointed to */
	attributes__set(attributes, VIEW("service.name"), view_of(name));
	attributes__set(attributes, VIEW("sonde.service.name.source"),
			view_of(service_name__source(*ret_source)));
}

/* Compiled programs are looked through by inspect; a renamed interpreter's packages are not. */
static bool is_compiled(enum runtime runtime)
{
	return runtime == RUNTIME_UNKNOWN || runtime == RUNTIME_NATIVE || runtime == RUNTIME_GO ||
	       runtime == RUNTIME_RUST;
}

static void set_go(struct attributes *attributes, const struct inspect_answer *binary)
{
	attributes__set(attributes, VIEW("process.runtime.name"), VIEW("go"));
	attributes__set(attributes, VIEW("process.runtime.version"),
			view_of(binary->runtime_version));
	if (binary->module_version[0] && !attributes__has(attributes, VIEW("service.version")))
		attributes__set(attributes, VIEW("service.version"),
				view_of(binary->module_version));
}

/*
 * What inspect said (binary, NULL: nothing yet) added to what was read. With r, which is then the
 * process, an interpreter under another name is looked at again; -ETIMEDOUT: r is given up.
 */
static int add_answer(struct known_process *p, struct reading *r,
		      const struct inspect_answer *binary)
{
	bool cxx = binary && binary->flags & INSPECT_CXX;
	bool unsure = p->sdk || (p->asks && !binary);
	enum runtime runtime = (enum runtime)p->message.runtime;

	if (runtime == RUNTIME_UNKNOWN && binary && !binary->status) {
		runtime = (enum runtime)binary->runtime;
		if (!is_compiled(runtime)) {
			int err = -EAGAIN;

			if (r) {
				r->runtime = runtime;
				err = worker__run(reading__look, r, reading__free, READING_MAX_MS);
			}
			if (err == -ETIMEDOUT)
				return err;
			unsure |= err || r->sdk;
		}
	}
	/* Broken on purpose, or too large to be read: not known to have none. */
	if (binary && (binary->status || binary->flags & INSPECT_SDK ||
		       (binary->flags & INSPECT_CUT && is_compiled(runtime))))
		unsure = true;
	if (unsure || runtime == RUNTIME_UNKNOWN)
		p->message.flags |= PROCESS_SDK;
	if (binary && runtime == RUNTIME_GO)
		set_go(&p->attributes, binary);
	p->message.runtime = (uint16_t)runtime;
	attributes__set(&p->attributes, VIEW("telemetry.sdk.language"),
			runtime__language(runtime, cxx));
	return 0;
}

/* The number that /proc had for it, as far as that can still be said. */
static pid_t pid_of(const struct identity_query *query)
{
	return query->pid ? query->pid : (pid_t)query->tgid;
}

/* What was read, put into words. */
static void describe(struct reading *r, const struct identity_query *query, struct known_process *p)
{
	p->message.runtime = (uint16_t)r->runtime;
	p->message.netns = r->netns;
	p->sdk = r->sdk;
	p->asks = r->subject_key.inode != 0;
	if (r->partial)
		p->message.flags |= PROCESS_GONE;
	p->subject_key = r->subject_key;
	snprintf(p->comm, sizeof(p->comm), "%s", query->comm ? query->comm : "");
	set_service(&p->attributes, r, &p->source);
	attributes__set(&p->attributes, VIEW("process.executable.name"), r->facts.exe_name);
	attributes__set(&p->attributes, VIEW("process.executable.path"), r->exe);
	attributes__set(&p->attributes, VIEW("container.id"), view_of(r->container));
	attributes__set_int(&p->attributes, VIEW("process.pid"), pid_of(query));
	set_creation_time(&p->attributes, r->start_ns);
	if (opted_out(r->facts.environ))
		p->message.flags |= PROCESS_OPT_OUT;
}

/* What inspect is to look at of a process that ended before anybody asked for it, opened; or -1. */
static int reopen(const struct known_process *p)
{
	struct reading *r = reading__new(0, 0);
	struct view path;
	int fd = -1, err;

	if (!r)
		return -1;
	if (attributes__get(&p->attributes, VIEW("process.executable.path"), &path))
		snprintf(r->exe_path, sizeof(r->exe_path), "%.*s", (int)path.len, path.at);
	r->subject_key = p->subject_key;
	err = worker__run(reading__reopen, r, reading__free, READING_MAX_MS);
	if (!err) {
		fd = r->subject;
		r->subject = -1;
	}
	if (err != -ETIMEDOUT)
		reading__free(r);
	return fd;
}

static void copy(struct known_process *to, const struct known_process *from)
{
	struct buf bytes = to->attributes.bytes;

	*to = *from;
	to->attributes.bytes = bytes;
	buf__clear(&to->attributes.bytes);
	buf__add(&to->attributes.bytes, from->attributes.bytes.at, from->attributes.bytes.len);
}

/*
 * Nothing was ever read of it: what the kernel said, now or, where trace asks again, before; kept for
 * that reason.
 */
static void describe_gone(struct identity_cache *cache, const struct identity_query *query,
			  const struct known_process *before, struct known_process *p)
{
	char name[SERVICE_NAME_BYTES];
	struct service_facts facts;

	p->named = true;
	snprintf(p->comm, sizeof(p->comm), "%s",
		 query->comm && query->comm[0] ? query->comm :
		 before			       ? before->comm :
						 "");
	facts = (struct service_facts){ .exe_name = view_of(p->comm) };
	p->message.flags |= PROCESS_GONE;
	service_name__choose(&facts, name);
	attributes__set(&p->attributes, VIEW("service.name"), view_of(name));
	attributes__set(&p->attributes, VIEW("sonde.service.name.source"),
			view_of(service_name__source(SERVICE_FROM_EXECUTABLE)));
	attributes__set(&p->attributes, VIEW("process.executable.name"), facts.exe_name);
	attributes__set(&p->attributes, VIEW("telemetry.sdk.language"), VIEW("unknown"));
	attributes__set_int(&p->attributes, VIEW("process.pid"), pid_of(query));
	set_creation_time(&p->attributes, query->start_ns);
	if (p->comm[0])
		memory__put(identity_cache__memory(cache), p);
}

/* It is gone: what was read of it earlier, else what the kernel said. */
static void recall(struct identity_cache *cache, const struct identity_query *query,
		   struct known_process *p, struct identity_hints *hints)
{
	const struct inspect_answer *binary = NULL;
	const struct known_process *before;

	before = memory__get(identity_cache__memory(cache), query->tgid, query->start_ns);
	if (before && !before->named) {
		copy(p, before);
		hints->key = p->subject_key;
		hints->source = p->source;
		if (p->asks)
			binary = identity_cache__get(cache, &p->subject_key);
		if (p->asks && !binary && !p->asked && !query->remember) {
			hints->exe_fd = reopen(p);
			p->asked = hints->exe_fd >= 0;
			memory__put(identity_cache__memory(cache), p);
		}
		if (p->asks && !binary && p->asked)
			p->message.flags |= PROCESS_PENDING;
		add_answer(p, NULL, binary);
		return;
	}
	hints->gone = true;
	describe_gone(cache, query, before, p);
}

/* -ESRCH, -EAGAIN: r is still the caller's; -ETIMEDOUT: it is given up. */
static int look_at(struct identity_cache *cache, const struct identity_query *query,
		   struct reading *r, struct known_process *p, struct identity_hints *hints)
{
	const struct inspect_answer *binary;
	int err = worker__run(reading__read, r, reading__free, READING_MAX_MS);

	if (!err)
		err = r->err;
	if (err)
		return err;
	if (r->parent) {
		if (r->start_ns > query->start_ns)
			return -ESRCH; /* the number is another's by now */
		r->start_ns = query->start_ns;
	}
	/* It is ending: what was read of it when it began is whole. */
	if (r->partial) {
		const struct known_process *before =
			memory__get(identity_cache__memory(cache), query->tgid, query->start_ns);

		if (before && !before->named)
			return -ESRCH;
	}
	describe(r, query, p);
	hints->key = p->asks ? r->subject_key : r->key;
	hints->source = p->source;
	binary = p->asks ? identity_cache__get(cache, &r->subject_key) : NULL;
	if (p->asks && !binary && !query->remember) {
		/* -1: it has ended since its memory was read; its file may still lie there. */
		hints->exe_fd = r->subject >= 0 ? r->subject : reopen(p);
		r->subject = -1;
		p->asked = hints->exe_fd >= 0;
	}
	memory__put(identity_cache__memory(cache), p);
	if (p->asked)
		p->message.flags |= PROCESS_PENDING;
	return add_answer(p, r, binary);
}

/*
 * Of a process that had begun no program of its own, what is known of its parent's: -ESRCH where that
 * is remembered now as its own, or nothing is known.
 */
static int look_at_parent(struct identity_cache *cache, const struct identity_query *query,
			  struct known_process *p, struct identity_hints *hints)
{
	struct identity_memory *memory = identity_cache__memory(cache);
	const struct known_process *before = memory__get(memory, query->tgid, query->start_ns);
	struct reading *r;
	int err;

	if (!query->forked_from || !query->comm || (before && !before->named))
		return -ESRCH;
	before = memory__parent(memory, query->forked_from, query->start_ns);
	/* By its name, too: it may have begun another program since. */
	if (before && !before->named && !strcmp(before->comm, query->comm)) {
		copy(p, before);
		p->message.tgid = query->tgid;
		p->message.tgid_start_ns = query->start_ns;
		p->asked = false;
		attributes__set_int(&p->attributes, VIEW("process.pid"), pid_of(query));
		set_creation_time(&p->attributes, query->start_ns);
		memory__put(memory, p);
		return -ESRCH;
	}
	r = query->parent_pid ? reading__new(query->parent_pid, 0) : NULL;
	if (!r)
		return -ESRCH;
	r->parent = true;
	snprintf(r->comm, sizeof(r->comm), "%s", query->comm);
	err = look_at(cache, query, r, p, hints);
	if (err != -ETIMEDOUT)
		reading__free(r);
	return err;
}

int identity__read(struct identity_cache *cache, const struct identity_query *query,
		   struct buf *ret_message, struct identity_hints *ret_hints)
{
	struct known_process p = { .message = { .tgid = query->tgid,
						.tgid_start_ns = query->start_ns } };
	struct reading *r = reading__new(query->pid, query->start_ns);
	int err;

	*ret_hints = (struct identity_hints){ .exe_fd = -1, .source = SERVICE_FROM_EXECUTABLE };
	if (!r)
		return -ENOMEM;
	if (query->exec)
		memory__forget(identity_cache__memory(cache), query->tgid, query->start_ns);
	err = look_at(cache, query, r, &p, ret_hints);
	ret_hints->late = err == -ETIMEDOUT;
	if (err != -ETIMEDOUT)
		reading__free(r);
	if (err)
		err = look_at_parent(cache, query, &p, ret_hints);
	if (err)
		recall(cache, query, &p, ret_hints);
	p.message.attributes = p.attributes.n;
	buf__add(ret_message, &p.message, sizeof(p.message));
	buf__add(ret_message, p.attributes.bytes.at, p.attributes.bytes.len);
	err = p.attributes.bytes.err ? p.attributes.bytes.err : ret_message->err;
	buf__free(&p.attributes.bytes);
	return err;
}

static struct view machine_id(char text[64])
{
	static const char *const paths[] = { "/etc/machine-id", "/var/lib/dbus/machine-id" };
	ssize_t n = -1;

	for (int i = 0; n < 32 && i < 2; i++)
		n = procfs__read(AT_FDCWD, paths[i], text, 64, NULL);
	return (struct view){ text, n >= 32 ? 32 : 0 };
}

int identity__host_attributes(struct buf *ret, uint32_t *ret_n)
{
	struct attributes attributes = { 0 };
	struct utsname name;
	char id[64];
	int err;

	if (uname(&name) == 0) {
		attributes__set(&attributes, VIEW("host.name"), view_of(name.nodename));
		attributes__set(&attributes, VIEW("host.arch"),
				!strcmp(name.machine, "x86_64")	 ? VIEW("amd64") :
				!strcmp(name.machine, "aarch64") ? VIEW("arm64") :
								   view_of(name.machine));
	}
	attributes__set(&attributes, VIEW("host.id"), machine_id(id));
	attributes__set(&attributes, VIEW("os.type"), VIEW("linux"));
	attributes__set(&attributes, VIEW("telemetry.sdk.name"), VIEW("sonde"));
	attributes__set(&attributes, VIEW("telemetry.sdk.version"), VIEW(SONDE_VERSION));
	attributes__set(&attributes, VIEW("telemetry.distro.name"), VIEW("sonde"));
	attributes__set(&attributes, VIEW("telemetry.distro.version"), VIEW(SONDE_VERSION));
	buf__add(ret, attributes.bytes.at, attributes.bytes.len);
	*ret_n = attributes.n;
	err = attributes.bytes.err ? attributes.bytes.err : ret->err;
	buf__free(&attributes.bytes);
	return err;
}
