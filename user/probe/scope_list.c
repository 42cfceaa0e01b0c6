// SPDX-License-Identifier: Apache-2.0
#include "probe/scope_list.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scope_list__options(const struct scope_options *scope, bool with_command,
			 struct capture_options *ret)
{
	ret->pids = scope->pids;
	ret->n_pids = scope->n_pids;
	ret->cgroups = scope->cgroups;
	ret->n_cgroups = scope->n_cgroups;
	ret->netns = scope->netns;
	ret->n_netns = scope->n_netns;
	ret->ports = scope->ports;
	ret->n_ports = scope->n_ports;
	ret->pids_later = with_command || scope->n_exes;
	ret->exec_events = scope->n_exes > 0;
}

static bool exe_matches(const struct scope_options *scope, pid_t pid)
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	if (!scope->n_exes)
		return false;
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = 0;
	for (unsigned int i = 0; i < scope->n_exes; i++)
		if (!fnmatch(scope->exes[i], path, 0))
			return true;
	return false;
}

int scope_list__seed(const struct scope_options *scope, struct capture *capture, struct err *err)
{
	struct dirent *e;
	int ret = 0;
	DIR *dir;

	if (!scope->n_exes)
		return 0;
	dir = opendir("/proc");
	if (!dir)
		return err__set(err, -errno, "cannot list processes in /proc: %s", strerror(errno));
	while (!ret && (e = readdir(dir))) {
		pid_t pid = isdigit((unsigned char)e->d_name[0]) ? (pid_t)atoi(e->d_name) : 0;

		if (pid > 0 && exe_matches(scope, pid))
			ret = capture__add_tree(capture, pid);
		if (ret == -ESRCH)
			ret = 0; /* it ended meanwhile */
	}
	closedir(dir);
	return ret ? err__set(err, ret, "cannot add a process to the scope: %s", strerror(-ret)) :
		     0;
}

bool scope_list__exec(const struct scope_options *scope, struct capture *capture, pid_t pid)
{
	if (pid <= 0 || !exe_matches(scope, pid))
		return false;
	capture__add_pid(capture, pid, SONDE_PID_IN);
	return true;
}
