// SPDX-License-Identifier: Apache-2.0
/* TLS libraries of a run: looked for where its processes are. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "probe/run_internal.h"

/* So long at most a command waits for the system's own libraries to be looked at: some 30 ms, but where a machine is very slow. */
#define SYSTEM_WAIT_NS 10000000000ull

/* A process that has more threads than these is followed in the first of them, and in what they start. */
#define THREADS_MAX 16

static int follow_process(struct run *run, pid_t pid)
{
	unsigned int n = 0;
	char path[32];
	struct dirent *e;
	int ret = -ESRCH;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && n < THREADS_MAX && (e = readdir(dir))) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		n++;
		ret = tls_watch__follow(run->tls, (pid_t)atoi(e->d_name));
	}
	if (dir)
		closedir(dir);
	return ret;
}

/* More processes than these that are there already are not followed one by one, but with all others. */
#define FOLLOWED_MAX 32
/* One may fork while they are listed, and its child be followed by nobody: listed again until there is no more. */
#define LISTINGS_MAX 16

struct followed {
	pid_t pids[FOLLOWED_MAX];
	unsigned int n;
	int err; /* of the last one that could not be */
};

/* True: it is followed, and was not before. */
static bool follow_new(struct run *run, struct followed *followed, pid_t pid)
{
	int err;

	for (unsigned int i = 0; i < followed->n; i++)
		if (followed->pids[i] == pid)
			return false;
	followed->pids[followed->n++] = pid;
	err = follow_process(run, pid);
	if (err && err != -ESRCH) /* it may have ended meanwhile */
		followed->err = err;
	return true;
}

/* Those in scope that the ones before have forked; -E2BIG: too many. How many were new. */
static int follow_children(struct run *run, struct followed *followed)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (dir && n >= 0 && (e = readdir(dir))) {
		pid_t pid = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? (pid_t)atoi(e->d_name) : 0;

		if (!pid || pid == getpid() || !capture__has_pid(run->capture, pid))
			continue;
		if (followed->n == FOLLOWED_MAX)
			n = -E2BIG;
		else
			n += follow_new(run, followed, pid);
	}
	if (dir)
		closedir(dir);
	return n;
}

/* Who follows processes by their numbers is woken by nobody else's doings. */
static int follow(struct run *run)
{
	const struct scope_options *scope = &run->options->scope;
	struct followed followed = { .n = 0 };
	int n = 1;

	if (scope->n_cgroups || scope->n_netns || scope->n_ports || scope->n_exes ||
	    (!run->child.pid && !scope->n_pids))
		return tls_watch__follow(run->tls, 0);
	if (run->child.pid)
		follow_new(run, &followed, run->child.pid);
	for (unsigned int i = 0; i < scope->n_pids && followed.n < FOLLOWED_MAX; i++)
		follow_new(run, &followed, scope->pids[i]);
	for (int i = 0; i < LISTINGS_MAX && n > 0; i++)
		n = follow_children(run, &followed);
	return n < 0 ? tls_watch__follow(run->tls, 0) : followed.err;
}

static void wait_for_system(struct run *run)
{
	uint64_t until = clock__boot_ns() + SYSTEM_WAIT_NS;

	while (identify__tls_busy(&run->identify) && clock__boot_ns() < until) {
		run__wait(run, 20);
		identify__tick(&run->identify, clock__boot_ns());
	}
}

/* As execvp(3) will find it. */
static void look_at_command(struct run *run)
{
	const char *name = run->options->command[0], *path = getenv("PATH");
	char file[PATH_MAX];

	if (strchr(name, '/')) {
		tls_watch__file(run->tls, name);
		return;
	}
	while (path && *path) {
		size_t n = strcspn(path, ":");

		if (n &&
		    snprintf(file, sizeof(file), "%.*s/%s", (int)n, path, name) <
			    (int)sizeof(file) &&
		    !access(file, X_OK)) {
			tls_watch__file(run->tls, file);
			return;
		}
		path += n + (path[n] == ':');
	}
}

void run__start_tls(struct run *run)
{
	struct err err = { "" };
	int ret = tls_watch__new(run->capture, &run->identify, run->options->verbose, &run->tls,
				 &err);

	if (ret) {
		log_warn("%s: nothing inside TLS is seen", err.text);
		return;
	}
	ret = follow(run);
	if (ret)
		log_warn("libraries that programs load from now on are not seen: %s",
			 strerror(-ret));
	run__watch(run, tls_watch__fd(run->tls));
	/* what it runs may be over before a library is looked at */
	if (run->child.pid) {
		tls_watch__system(run->tls);
		look_at_command(run);
		wait_for_system(run);
	}
	tls_watch__running(run->tls);
}
