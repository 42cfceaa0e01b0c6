// SPDX-License-Identifier: Apache-2.0
/* Files that nobody in scope has mapped any more: noticed, made sure of, let go. */
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "probe/tls_watch_internal.h"

void tls_watch__wait_off(struct tls_watch *watch)
{
	if (watch->taking_off)
		pthread_join(watch->thread, NULL);
	watch->taking_off = false;
}

static bool lacks_user(const struct tls_file *file)
{
	return file->hooks && tls_use__due(&file->use);
}

static unsigned int lacking(const struct tls_watch *watch)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < watch->n_files; i++)
		n += lacks_user(watch->files[i]);
	return n;
}

void tls_watch__each_mapping(struct tls_watch *watch, tls_mapping_fn fn, bool only_lacking)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	while (dir && (!only_lacking || lacking(watch)) && (e = readdir(dir))) {
		pid_t pid = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? (pid_t)atoi(e->d_name) : 0;

		if (pid && pid != getpid() && capture__has_pid(watch->capture, pid))
			tls_maps__of_process(pid, fn, watch);
	}
	if (dir)
		closedir(dir);
}

static void on_listed(void *arg, const struct tls_mapping *m)
{
	struct tls_watch *watch = arg;
	struct tls_file *file;
	struct stat st;
	int fd;

	if (m->path[0] != '/' || !tls_watch__is_worth(m->path))
		return;
	file = tls_watch__find_mapped(watch, m);
	if (!file) {
		fd = tls_watch__open_mapped(m->pid, m->start, m->end, m->path);
		if (fd >= 0 && !fstat(fd, &st))
			file = tls_watch__find(watch, st.st_dev, st.st_ino);
		if (fd >= 0)
			close(fd);
	}
	if (file && lacks_user(file))
		tls_use__by(&file->use, m->pid, watch->epoll, file);
}

/* The kernel takes its time for each. */
static void *take_off(void *arg)
{
	struct tls_watch *watch = arg;

	while (watch->n_off)
		tls_hooks__free(watch->off[--watch->n_off]);
	return NULL;
}

static void let_go(struct tls_watch *watch, struct tls_file *file)
{
	if (watch->verbose)
		log_info("TLS library %s is let go: nobody has it mapped", file->name);
	watch->off[watch->n_off++] = file->hooks;
	file->hooks = NULL;
	file->state = FILE_KNOWN;
	file->use.left_ns = 0;
	file->map_device = file->map_inode = 0;
	watch->counts.hooked--;
	watch->counts.let_go++;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a && (!b || a < b) ? a : b;
}

static uint64_t next_look(const struct tls_watch *watch)
{
	uint64_t next = 0;

	for (unsigned int i = 0; i < watch->n_files; i++) {
		const struct tls_file *file = watch->files[i];
		uint64_t due = file->hooks ? tls_use__due(&file->use) : 0;

		next = sooner(due, next);
	}
	return next;
}

uint64_t tls_watch__look(struct tls_watch *watch, uint64_t now_ns)
{
	uint64_t again = tls_watch__make_up(watch, now_ns), next = next_look(watch);

	if (!next || now_ns < next)
		return sooner(again, next);
	tls_watch__each_mapping(watch, on_listed, true);
	tls_watch__wait_off(watch);
	for (unsigned int i = 0; i < watch->n_files; i++)
		if (watch->files[i]->hooks && tls_use__nobody(&watch->files[i]->use, now_ns))
			let_go(watch, watch->files[i]);
	if (watch->n_off) {
		watch->taking_off = !pthread_create(&watch->thread, NULL, take_off, watch);
		if (!watch->taking_off)
			take_off(watch);
	}
	return sooner(again, next_look(watch));
}
