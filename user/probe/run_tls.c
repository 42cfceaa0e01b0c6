// SPDX-License-Identifier: Apache-2.0
/* TLS libraries of a run: looked for where its processes are. */
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
	ret = tls_watch__follow(run->tls);
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
