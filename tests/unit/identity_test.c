// SPDX-License-Identifier: Apache-2.0
/* Protects: what is read of real processes, of processes that are gone, and of hostile ones. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/message.h"
#include "probe/identity.h"
#include "probe/identity_attributes.h"
#include "probe/identity_mounts.h"
#include "probe/identity_runtime.h"
#include "probe/identity_worker.h"
#include "probe/procfs.h"
#include "probe/sdk_detect.h"

static struct identity_cache *cache;

/* A process of our own; `close_on_exec` tells when it has become what it is to be. */
static pid_t start(const char *const *argv, const char *const *env, const char *cwd)
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (cwd && chdir(cwd))
			_exit(127);
		execve(argv[0], (char **)argv, (char **)env);
		_exit(127);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	return pid;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

struct answer {
	struct buf bytes;
	struct message_process message;
	struct attributes attributes;
	struct identity_hints hints;
};

static void look_up(struct answer *a, const struct identity_query *query)
{
	memset(a, 0, sizeof(*a));
	assert_int_equal(identity__read(cache, query, &a->bytes, &a->hints), 0);
	assert_true(a->bytes.len >= sizeof(a->message));
	memcpy(&a->message, a->bytes.at, sizeof(a->message));
	assert_int_equal(a->message.tgid, query->tgid);
	a->attributes.bytes.at = a->bytes.at + sizeof(a->message);
	a->attributes.bytes.len = a->bytes.len - sizeof(a->message);
	a->attributes.n = a->message.attributes;
}

static void ask(struct answer *a, pid_t pid, uint64_t start_ns, const char *comm)
{
	struct identity_query query = {
		.pid = pid, .tgid = (uint32_t)pid, .start_ns = start_ns, .comm = comm
	};

	look_up(a, &query);
}

/* As the kernel tells of an exec, before anybody asks. */
static void begun(struct answer *a, pid_t pid, uint64_t start_ns, const char *comm)
{
	struct identity_query query = { .pid = pid,
					.tgid = (uint32_t)pid,
					.start_ns = start_ns,
					.comm = comm,
					.exec = true,
					.remember = true };

	look_up(a, &query);
}

static void forget(struct answer *a)
{
	if (a->hints.exe_fd >= 0)
		close(a->hints.exe_fd);
	buf__free(&a->bytes);
}

static void assert_attribute(const struct answer *a, const char *key, const char *expected)
{
	struct view value;
	char text[ATTRIBUTE_VALUE_MAX_BYTES + 1];

	assert_int_equal(attributes__get(&a->attributes, view_of(key), &value), expected != NULL);
	if (!expected)
		return;
	snprintf(text, sizeof(text), "%.*s", (int)value.len, value.at);
	assert_string_equal(text, expected);
}

static int64_t int_attribute(const struct answer *a, const char *key)
{
	const struct buf *bytes = &a->attributes.bytes;
	const uint8_t *at = memmem(bytes->at, bytes->len, key, strlen(key));
	int64_t value;

	assert_non_null(at);
	memcpy(&value, at + strlen(key), sizeof(value));
	return value;
}

static void test_process(void **state)
{
	const char *const argv[] = { "/bin/sleep", "100", NULL };
	const char *const env[] = {
		"OTEL_SERVICE_NAME=shop",
		"OTEL_RESOURCE_ATTRIBUTES=service.namespace=n%20s,service.name=no,process.pid=1,x="
		"\xff",
		NULL,
	};
	struct inspect_answer native = { .abi = INSPECT_ABI, .runtime = RUNTIME_NATIVE };
	struct answer a;
	pid_t pid = start(argv, env, "/");
	struct stat st;

	ask(&a, pid, 0, "sleep");
	assert_int_equal(a.message.flags, PROCESS_SDK | PROCESS_PENDING); /* not known yet */
	assert_int_equal(a.message.runtime, RUNTIME_UNKNOWN);
	assert_true(a.hints.exe_fd >= 0);
	assert_int_equal(fstat(a.hints.exe_fd, &st), 0);
	assert_int_equal(a.hints.key.inode, st.st_ino);
	assert_int_equal(a.hints.key.device, st.st_dev);
	identity_cache__put(cache, &a.hints.key, &native);
	forget(&a);
	ask(&a, pid, 0, "sleep");
	assert_int_equal(a.message.flags, 0);
	assert_int_equal(a.message.runtime, RUNTIME_NATIVE);
	assert_int_equal(a.hints.exe_fd, -1);
	assert_int_equal(a.hints.source, SERVICE_FROM_ENVIRONMENT);
	assert_true(a.message.netns != 0);
	assert_attribute(&a, "service.name", "shop");
	assert_attribute(&a, "service.namespace", "n s");
	assert_attribute(&a, "x", "\xef\xbf\xbd");
	assert_attribute(&a, "process.executable.name", "sleep");
	assert_attribute(&a, "telemetry.sdk.language", "native");
	assert_attribute(&a, "process.command_line", NULL);
	forget(&a);
	stop(pid);
}

/* Its start time tells one process from the next with the same pid. */
static void test_start_time(void **state)
{
	const char *const argv[] = { "/bin/sleep", "100", NULL };
	const char *const env[] = { "SONDE_DISABLED=TRUE", NULL };
	pid_t pid = start(argv, env, "/");
	uint64_t start_ns = 0;
	struct answer a;
	int proc = procfs__open(pid, 0, &start_ns);

	assert_true(proc >= 0);
	assert_true(start_ns > 0);
	ask(&a, pid, start_ns + 1234567, "sleep"); /* the record is finer than /proc */
	assert_false(a.hints.gone);
	assert_true(a.message.flags & PROCESS_OPT_OUT);
	assert_int_equal(a.message.tgid_start_ns, start_ns + 1234567);
	forget(&a);
	ask(&a, pid, start_ns + 10000000, "other\xff");
	assert_true(a.hints.gone);
	assert_int_equal(a.message.flags, PROCESS_GONE);
	assert_attribute(&a, "service.name", "unknown_service:other\xef\xbf\xbd");
	forget(&a);
	stop(pid);
	ask(&a, pid, start_ns, NULL);
	assert_true(a.hints.gone);
	assert_attribute(&a, "service.name", "unknown_service");
	forget(&a);
	/* nothing is read through the old descriptor of /proc/PID */
	char text[64];
	assert_int_equal(procfs__read(proc, "stat", text, sizeof(text), NULL), -ESRCH);
	close(proc);
}

/* It ends before inspect has answered: what was read of it, and the answer, still make one identity. */
static void test_short_lived(void **state)
{
	const char *const argv[] = { "/bin/sleep", "100", NULL };
	const char *const env[] = { "OTEL_SERVICE_NAME=brief", NULL };
	struct identity_cache *kept = cache;
	struct inspect_answer native = { .abi = INSPECT_ABI, .runtime = RUNTIME_NATIVE };
	uint64_t start_ns = 0;
	struct answer a;
	pid_t pid = start(argv, env, "/");
	int proc = procfs__open(pid, 0, &start_ns);

	close(proc);
	cache = identity_cache__new(0);
	ask(&a, pid, start_ns, "sleep");
	assert_true(a.hints.exe_fd >= 0);
	identity_cache__put(cache, &a.hints.key, &native);
	forget(&a);
	stop(pid);
	ask(&a, pid, start_ns, NULL);
	assert_false(a.hints.gone);
	assert_int_equal(a.message.flags, 0);
	assert_int_equal(a.message.runtime, RUNTIME_NATIVE);
	assert_attribute(&a, "service.name", "brief");
	assert_attribute(&a, "telemetry.sdk.language", "native");
	forget(&a);
	/* a thread of another name: it; another process: not it */
	ask(&a, pid, start_ns, "worker");
	assert_false(a.hints.gone);
	assert_attribute(&a, "service.name", "brief");
	forget(&a);
	ask(&a, pid, start_ns + 1, NULL);
	assert_true(a.hints.gone);
	assert_attribute(&a, "process.executable.name", NULL);
	forget(&a);
	/* another program by exec: not it, and named as the kernel did whoever asks again */
	begun(&a, pid, start_ns, "other");
	assert_true(a.hints.gone);
	forget(&a);
	ask(&a, pid, start_ns, NULL);
	assert_true(a.hints.gone);
	assert_attribute(&a, "process.executable.name", "other");
	assert_attribute(&a, "service.name", "unknown_service:other");
	forget(&a);
	identity_cache__free(cache);
	cache = kept;
}

/* Forked and gone before it was read: it ran its parent's program, if that still goes by its name. */
static void test_gone_worker(void **state)
{
	const char *const argv[] = { "/bin/sleep", "100", NULL };
	const char *const env[] = { "OTEL_SERVICE_NAME=shop", NULL };
	pid_t parent = start(argv, env, "/");
	struct identity_query query = { .pid = INT32_MAX,
					.tgid = INT32_MAX,
					.start_ns = 1ull << 60,
					.parent_pid = parent,
					.forked_from = (uint32_t)parent,
					.comm = "sleep" };
	uint64_t start_ns = 0;
	struct answer a;

	close(procfs__open(parent, 0, &start_ns));
	for (int round = 0; round < 3; round++) {
		query.tgid--;
		if (round == 1) { /* gone, too, but remembered */
			begun(&a, parent, start_ns, "sleep");
			forget(&a);
			stop(parent);
		}
		if (round == 2)
			query.comm = "other";
		look_up(&a, &query);
		assert_int_equal(a.hints.gone, round == 2);
		assert_attribute(&a, "service.name", round == 2 ? "unknown_service:other" : "shop");
		assert_int_equal(int_attribute(&a, "process.pid"), INT32_MAX);
		assert_true(a.message.tgid_start_ns == query.start_ns);
		forget(&a);
		/* asked again by one who knows only its number */
		struct identity_query again = { .tgid = query.tgid, .start_ns = query.start_ns };
		look_up(&a, &again);
		assert_attribute(&a, "process.executable.name", round == 2 ? "other" : "sleep");
		forget(&a);
	}
}

static void test_zombie(void **state)
{
	const char *const argv[] = { "/bin/true", NULL };
	const char *const env[] = { NULL };
	pid_t pid = start(argv, env, "/");
	struct answer a;
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	ask(&a, pid, 0, "true");
	assert_true(a.hints.gone);
	assert_attribute(&a, "service.name", "unknown_service:true");
	forget(&a);
	waitpid(pid, NULL, 0);
}

/* Everything that a process decides itself, as long and as ugly as it can be. */
static void test_hostile(void **state)
{
	static char big[100000], many[100000];
	const char *const argv[] = { "/bin/sleep", "100", NULL };
	const char *env[24];
	char text[64];
	struct answer a;
	size_t used;
	pid_t pid;
	int n = 0;

	memset(big, 'y', sizeof(big) - 1);
	memcpy(big, "OTEL_SERVICE_NAME=\x01\x1b[31m\xc0\xaf", 25);
	used = (size_t)snprintf(many, sizeof(many), "OTEL_RESOURCE_ATTRIBUTES=a=b");
	for (int i = 0; i < 190; i++)
		used += (size_t)snprintf(many + used, sizeof(many) - used, ",k%d=%0500d", i, i);
	env[n++] = many;
	for (; n < 20; n++)
		env[n] = big;
	env[n] = NULL;
	pid = start(argv, env, "/");
	ask(&a, pid, 0, "x");
	struct view value;
	assert_true(attributes__get(&a.attributes, VIEW("service.name"), &value));
	assert_true(value.len < 3 * SERVICE_NAME_BYTES);
	assert_true(a.message.attributes > 50 && a.bytes.len < 48 * 1024);
	for (size_t i = 0; i < value.len; i++)
		assert_true((uint8_t)value.at[i] >= 0x20);
	forget(&a);
	stop(pid);
	snprintf(text, sizeof(text), "%d", INT32_MAX);
	ask(&a, INT32_MAX, 0, text);
	assert_true(a.hints.gone);
	forget(&a);
}

static void test_deleted(void **state)
{
	char dir[] = "/tmp/identity_test.XXXXXX", path[64];
	const char *const argv[] = { path, "100", NULL };
	const char *const env[] = { NULL };
	char command[128];
	struct answer a;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/shop", dir);
	snprintf(command, sizeof(command), "cp /bin/sleep %s", path);
	assert_int_equal(system(command), 0);
	pid = start(argv, env, "/");
	unlink(path);
	rmdir(dir);
	ask(&a, pid, 0, "x");
	assert_attribute(&a, "service.name", "unknown_service:shop");
	assert_attribute(&a, "process.executable.path", path);
	assert_true(a.hints.exe_fd >= 0);
	forget(&a);
	stop(pid);
}

/* Read when it began and gone when it is asked for: the file that it ran is looked at all the same. */
static void test_gone_but_remembered(void **state)
{
	char dir[] = "/tmp/identity_test.XXXXXX", path[64];
	const char *const argv[] = { path, "100", NULL };
	const char *const env[] = { NULL };
	const char *const ways[] = { "true", "touch -d 2000-01-01 %s", "rm %s" };
	char command[256];
	struct answer a;
	struct stat st;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/shop", dir);
	for (uint64_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		snprintf(command, sizeof(command), "rm -f %s; cp /bin/sleep %s", path, path);
		assert_int_equal(system(command), 0);
		pid_t pid = start(argv, env, "/");
		begun(&a, pid, 0, "shop");
		assert_int_equal(a.hints.exe_fd, -1);
		forget(&a);
		stop(pid);
		snprintf(command, sizeof(command), ways[i], path);
		assert_int_equal(system(command), 0);
		ask(&a, pid, 0, "shop");
		assert_attribute(&a, "service.name", "unknown_service:shop");
		assert_int_equal(a.hints.exe_fd >= 0, i == 0);
		assert_int_equal(!!(a.message.flags & PROCESS_PENDING), i == 0);
		if (i == 0) {
			assert_int_equal(fstat(a.hints.exe_fd, &st), 0);
			assert_int_equal(a.hints.key.inode, st.st_ino);
		}
		forget(&a);
	}
	unlink(path);
	rmdir(dir);
}

static void test_script(void **state)
{
	char dir[] = "/tmp/identity_test.XXXXXX", path[128], command[256];
	const char *const argv[] = { "/usr/bin/python3", "shop.py", NULL };
	const char *const env[] = { "HOME=/nonexistent", NULL };
	struct answer a;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/shop.py", dir);
	FILE *script = fopen(path, "w");
	assert_non_null(script);
	fputs("import time\ntime.sleep(100)\n", script);
	fclose(script);
	pid = start(argv, env, dir);
	ask(&a, pid, 0, "python3");
	assert_attribute(&a, "service.name", "shop");
	assert_attribute(&a, "telemetry.sdk.language", "python");
	assert_int_equal(a.message.runtime, RUNTIME_PYTHON);
	assert_int_equal(a.hints.exe_fd, -1);
	forget(&a);
	/* an SDK beside the script is where Python looks first; an API alone is none */
	snprintf(command, sizeof(command), "mkdir -p %s/opentelemetry/trace", dir);
	assert_int_equal(system(command), 0);
	ask(&a, pid, 0, "python3");
	uint16_t before = a.message.flags;
	forget(&a);
	snprintf(command, sizeof(command), "mkdir -p %s/opentelemetry/sdk", dir);
	assert_int_equal(system(command), 0);
	ask(&a, pid, 0, "python3");
	assert_int_equal(a.message.flags, PROCESS_SDK);
	assert_true(before == 0 ||
		    !access("/usr/lib/python3/dist-packages/opentelemetry/sdk", F_OK));
	forget(&a);
	stop(pid);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

/* A job that waits until somebody writes, as a read from a file system in user space does. */
struct job {
	int in, out;
};

static void wait_for_byte(void *arg)
{
	struct job *job = arg;
	char byte;

	if (read(job->in, &byte, 1) == 1)
		job->out = byte;
}

static int released;

static void release_job(void *arg)
{
	free(arg);
	__atomic_store_n(&released, 1, __ATOMIC_RELEASE);
}

static void test_worker(void **state)
{
	struct job *job = calloc(1, sizeof(*job));
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	job->in = fds[0];
	assert_int_equal(write(fds[1], "a", 1), 1);
	assert_int_equal(worker__run(wait_for_byte, job, release_job, 60000), 0);
	assert_int_equal(job->out, 'a');
	assert_int_equal(worker__stuck(), 0);
	/* it does not come back: the caller does, and the thread cleans up in the end */
	assert_int_equal(worker__run(wait_for_byte, job, release_job, 1), -ETIMEDOUT);
	assert_int_equal(worker__stuck(), 1);
	assert_int_equal(write(fds[1], "b", 1), 1);
	while (worker__stuck())
		sched_yield();
	assert_int_equal(__atomic_load_n(&released, __ATOMIC_ACQUIRE), 1);
	/* not more than a number of them */
	for (int i = 0; i < WORKER_STUCK_MAX; i++) {
		job = calloc(1, sizeof(*job));
		job->in = fds[0];
		assert_int_equal(worker__run(wait_for_byte, job, release_job, 0), -ETIMEDOUT);
	}
	job = calloc(1, sizeof(*job));
	assert_int_equal(worker__run(wait_for_byte, job, release_job, 0), -EAGAIN);
	free(job);
	close(fds[1]);
	while (worker__stuck())
		sched_yield();
	close(fds[0]);
}

static void test_resource_attributes(void **state)
{
	static const char *const bad[] = { "a",	   "a=b,c", "=b",  "a=%",
					   "a=%4", "a=%zz", "%=1", "a=1, =2" };
	struct attributes a = { 0 };
	struct view value;

	assert_int_equal(attributes__parse(&a, VIEW(" a = b , c=%41%2C%3d , d=x=y ,,")), 0);
	assert_int_equal(a.n, 3);
	assert_true(attributes__get(&a, VIEW("a"), &value) && view_eq(value, VIEW("b")));
	assert_true(attributes__get(&a, VIEW("c"), &value) && view_eq(value, VIEW("A,=")));
	assert_true(attributes__get(&a, VIEW("d"), &value) && view_eq(value, VIEW("x=y")));
	assert_int_equal(attributes__parse(&a, VIEW("a=2,telemetry.sdk.name=x,process.pid=1")), 0);
	assert_int_equal(a.n, 3);
	assert_true(attributes__get(&a, VIEW("a"), &value) && view_eq(value, VIEW("2")));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(attributes__parse(&a, view_of(bad[i])), -EPROTO);
		assert_int_equal(a.n, 3); /* all of it is discarded */
	}
	buf__free(&a.bytes);
}

static void test_clean(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "plain", "plain" },
		{ "pr\xc3\xa9", "pr\xc3\xa9" },
		{ "\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "a\tb\n", "a\xef\xbf\xbd"
			    "b\xef\xbf\xbd" },
		{ "\x7f", "\xef\xbf\xbd" },
		{ "\xc2\x85", "\xef\xbf\xbd\xef\xbf\xbd" },		    /* C1 */
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },		    /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" }, /* cut */
	};
	struct attributes a = { 0 };
	char big[5000];
	struct view value;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		attributes__set(&a, VIEW("k"), view_of(rows[i].in));
		assert_true(attributes__get(&a, VIEW("k"), &value));
		assert_true(view_eq(value, view_of(rows[i].out)));
	}
	assert_int_equal(a.n, 1);
	attributes__set(&a, VIEW("empty"), VIEW(""));
	assert_int_equal(a.n, 1);
	for (size_t i = 0; i + 1 < sizeof(big); i += 2)
		memcpy(big + i, "\xc3\xa9", 2);
	attributes__set(&a, VIEW("k"), (struct view){ big + 1, sizeof(big) - 1 });
	assert_true(attributes__get(&a, VIEW("k"), &value));
	assert_true(value.len <= ATTRIBUTE_VALUE_MAX_BYTES &&
		    value.len > ATTRIBUTE_VALUE_MAX_BYTES - 4);
	assert_int_equal((uint8_t)value.at[value.len - 1], 0xa9);
	for (int i = 0; i < 1000; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		attributes__set_int(&a, view_of(key), i);
	}
	assert_int_equal(a.n, ATTRIBUTES_MAX);
	assert_int_equal(a.bytes.err, 0);
	buf__free(&a.bytes);
}

static void test_stat(void **state)
{
	static const char text[] =
		"12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20";
	uint64_t ticks;
	char letter;

	assert_int_equal(procfs__parse_stat(text, sizeof(text) - 1, &ticks, &letter), 0);
	assert_int_equal(ticks, 987654);
	assert_int_equal(letter, 'S');
	for (size_t n = 0; n < sizeof(text) - 10; n++) {
		char *cut = malloc(n ? n : 1);

		memcpy(cut, text, n);
		assert_int_equal(procfs__parse_stat(cut, n, &ticks, &letter), -EPROTO);
		free(cut);
	}
}

static void test_cache(void **state)
{
	struct identity_cache *small = identity_cache__new(2);
	struct inspect_answer answer = { .abi = INSPECT_ABI };
	struct binary_key keys[3] = { { 1, 1, 1, 1 }, { 1, 2, 1, 1 }, { 1, 1, 2, 1 } };

	assert_null(identity_cache__get(small, &keys[0]));
	for (uint32_t i = 0; i < 2; i++) {
		answer.request = i;
		identity_cache__put(small, &keys[i], &answer);
	}
	assert_int_equal(identity_cache__get(small, &keys[0])->request, 0);
	answer.request = 2;
	identity_cache__put(small, &keys[2], &answer); /* keys[1] was used least recently */
	assert_null(identity_cache__get(small, &keys[1]));
	assert_int_equal(identity_cache__get(small, &keys[0])->request, 0);
	assert_int_equal(identity_cache__get(small, &keys[2])->request, 2);
	identity_cache__free(small);
}

static void test_maps(void **state)
{
	static const char text[] =
		"55d0-55d1 r--p 00000000 08:01 1   /usr/bin/uwsgi-core\n"
		"7f00-7f01 rw-p 00000000 00:00 0 \n"
		"7f01-7f02 r-xp 00000000 08:01 2   /usr/lib/libpython3.11.so.1.0\n"
		"7ffe-7fff rw-p 00000000 00:00 0   [stack]";

	assert_int_equal(runtime__from_maps((struct view){ text, sizeof(text) - 1 }),
			 RUNTIME_PYTHON);
	assert_int_equal(runtime__from_maps((struct view){ text, 70 }), RUNTIME_UNKNOWN);
	assert_int_equal(runtime__from_maps((struct view){ NULL, 0 }), RUNTIME_UNKNOWN);
}

static void test_mounts(void **state)
{
	static const char text[] =
		"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
		"33 22 0:50 / /mnt/a\\040b rw shared:2 master:1 - fuse.sshfs host rw\n"
		"44 22 0:51 / /srv/nfs rw - nfs4 server:/x rw\n"
		"55 22 0:52 / /tmp rw - tmpfs";
	struct view mounts = { text, sizeof(text) - 1 };
	struct view plain = { text, 55 };

	assert_true(mounts__any_waits(mounts));
	assert_false(mounts__any_waits(plain));
	assert_true(mounts__path_waits(mounts, VIEW("/mnt/a b")));
	assert_true(mounts__path_waits(mounts, VIEW("/mnt/a b/c")));
	assert_false(mounts__path_waits(mounts, VIEW("/mnt/a bc")));
	assert_false(mounts__path_waits(mounts, VIEW("/mnt/a")));
	assert_true(mounts__path_waits(mounts, VIEW("/srv/nfs/home")));
	assert_false(mounts__path_waits(mounts, VIEW("/tmp/x")));
	assert_int_equal(mounts__id_waits(mounts, 22), 0);
	assert_int_equal(mounts__id_waits(mounts, 33), 1);
	assert_int_equal(mounts__id_waits(mounts, 55), 0);
	assert_int_equal(mounts__id_waits(mounts, 66), -1);
	for (size_t n = 0; n < sizeof(text); n++) {
		char *cut = malloc(n ? n : 1);

		memcpy(cut, text, n);
		mounts__path_waits((struct view){ cut, n }, VIEW("/srv/nfs"));
		free(cut);
	}
}

static bool sdk(enum runtime runtime, const char *environ_entry, const char *argument,
		const char *maps)
{
	char environ_text[128] = "", cmdline[128] = "";
	struct service_facts process = { .exe_name = VIEW("x") };
	struct sdk_facts facts = {
		.process = &process, .maps = view_of(maps), .runtime = runtime, .proc = -1
	};

	snprintf(environ_text, sizeof(environ_text), "%s", environ_entry);
	snprintf(cmdline, sizeof(cmdline), "%s", argument);
	process.environ = (struct view){ environ_text, strlen(environ_text) + 1 };
	process.cmdline = (struct view){ cmdline, strlen(cmdline) + 1 };
	return sdk_detect__loaded(&facts);
}

static void test_sdk(void **state)
{
	assert_false(sdk(RUNTIME_JAVA, "A=b", "-jar", ""));
	assert_true(sdk(RUNTIME_JAVA, "A=b", "-javaagent:/x/agent.jar", ""));
	assert_true(sdk(RUNTIME_JAVA, "JAVA_TOOL_OPTIONS=-javaagent:/x.jar", "-jar", ""));
	assert_true(sdk(RUNTIME_NODE,
			"NODE_OPTIONS=--require @opentelemetry/auto-instrumentations-node/register",
			"x.js", ""));
	assert_true(sdk(RUNTIME_PYTHON, "OTEL_TRACES_EXPORTER=otlp", "x.py", ""));
	assert_false(sdk(RUNTIME_PYTHON, "OTEL_TRACES_EXPORTER=none", "x.py", ""));
	assert_true(sdk(RUNTIME_PYTHON, "DD_TRACE_ENABLED=true", "x.py", ""));
	assert_true(sdk(RUNTIME_PYTHON, "A=b", "/v/bin/opentelemetry-instrument", ""));
	assert_true(sdk(RUNTIME_RUBY, "A=b", "x", "1-2 r--p 0 8:1 1 /v/ddtrace/native.so\n"));
	/* a compiled program's parts can be seen: the session's settings say nothing of it */
	assert_false(sdk(RUNTIME_NATIVE, "OTEL_EXPORTER_OTLP_ENDPOINT=http://x", "x", ""));
	assert_false(sdk(RUNTIME_GO, "OTEL_TRACES_EXPORTER=otlp", "x", ""));
	assert_true(
		sdk(RUNTIME_NATIVE, "A=b", "x", "1-2 r--p 0 8:1 1 /l/libopentelemetry_trace.so\n"));
	assert_true(sdk(RUNTIME_NATIVE, "A=b", "x", "1-2 r--p 0 8:1 1 /l/ngx_otel_module.so"));
	assert_true(sdk(RUNTIME_NATIVE, "LD_PRELOAD=/otel/libotelinject.so", "x", ""));
}

static void test_host(void **state)
{
	struct attributes a = { 0 };
	struct view value;

	assert_int_equal(identity__host_attributes(&a.bytes, &a.n), 0);
	assert_true(attributes__get(&a, VIEW("os.type"), &value) && view_eq(value, VIEW("linux")));
	assert_true(attributes__get(&a, VIEW("telemetry.sdk.name"), &value) &&
		    view_eq(value, VIEW("sonde")));
	assert_true(attributes__has(&a, VIEW("host.name")));
	buf__free(&a.bytes);
}

static int set_up(void **state)
{
	cache = identity_cache__new(0);
	return !cache;
}

static int tear_down(void **state)
{
	identity_cache__free(cache);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_start_time),
		cmocka_unit_test(test_short_lived),
		cmocka_unit_test(test_gone_worker),
		cmocka_unit_test(test_zombie),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_gone_but_remembered),
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_worker),
		cmocka_unit_test(test_resource_attributes),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_sdk),
		cmocka_unit_test(test_host),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
