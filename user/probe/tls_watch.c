/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/tls_watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../headers/tls.h"
#include "base/log.h"
#include "probe/procfs.h"
#include "probe/tls_maps.h"

/* Connections whose processes have ended are looked for so often, while there is traffic. */
#define SWEEP_NS 10000000000ull

enum file_state { FILE_ASKED = 1, FILE_PLAIN, FILE_HOOKED };

struct tls_file {
	struct tls_watch *watch;
	uint64_t device, inode;
	enum file_state state;
	int fd;	       /* -1: not needed any more */
	char name[64]; /* the end of its path, for messages */
	struct tls_hooks *hooks;
};

struct tls_watch {
	struct capture *capture;
	struct identify *identify;
	struct tls_maps *maps;
	bool verbose;
	struct tls_file *files[TLS_FILES_MAX];
	unsigned int n_files;
	uint64_t swept_ns;
	int refused; /* -errno: the kernel takes no programs for TLS libraries */
	struct tls_watch_counts counts;
};

int tls_watch__new(struct capture *capture, struct identify *identify, bool verbose,
		   struct tls_watch **ret, struct err *err)
{
	struct tls_watch *watch = calloc(1, sizeof(*watch));
	int code;

	if (!watch)
		return err__set(err, -ENOMEM, "out of memory");
	watch->capture = capture;
	watch->identify = identify;
	watch->verbose = verbose;
	code = tls_maps__new(&watch->maps);
	if (code) {
		free(watch);
		return err__set(err, code, "cannot watch what processes map: %s", strerror(-code));
	}
	*ret = watch;
	return 0;
}

static void file_free(struct tls_file *file)
{
	tls_hooks__free(file->hooks);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}

void tls_watch__free(struct tls_watch *watch)
{
	if (!watch)
		return;
	identify__tls_forget(watch->identify);
	for (unsigned int i = 0; i < watch->n_files; i++)
		file_free(watch->files[i]);
	tls_maps__free(watch->maps);
	free(watch);
}

/* What belongs at the first instruction of a function; SONDE_TLS_NONE: nothing is learned there. */
static enum sonde_tls_shape shape_of(enum tls_function function)
{
	static const uint8_t shapes[TLS_FN_COUNT] = {
		[TLS_FN_SSL_READ] = SONDE_TLS_READ,
		[TLS_FN_SSL_WRITE] = SONDE_TLS_WRITE,
		[TLS_FN_SSL_READ_EX] = SONDE_TLS_READ_COUNT,
		[TLS_FN_SSL_WRITE_EX] = SONDE_TLS_WRITE_COUNT,
		[TLS_FN_SSL_WRITE_EX2] = SONDE_TLS_WRITE_FLAGS,
		[TLS_FN_SSL_READ_EARLY_DATA] = SONDE_TLS_READ_COUNT,
		[TLS_FN_SSL_WRITE_EARLY_DATA] = SONDE_TLS_WRITE_COUNT,
		[TLS_FN_SSL_DO_HANDSHAKE] = SONDE_TLS_HANDSHAKE,
		[TLS_FN_SSL_FREE] = SONDE_TLS_END,
		[TLS_FN_GNUTLS_RECORD_SEND] = SONDE_TLS_WRITE,
		[TLS_FN_GNUTLS_RECORD_SEND2] = SONDE_TLS_WRITE,
		[TLS_FN_GNUTLS_RECORD_SEND_RANGE] = SONDE_TLS_WRITE,
		[TLS_FN_GNUTLS_RECORD_RECV] = SONDE_TLS_READ,
		[TLS_FN_GNUTLS_RECORD_RECV_SEQ] = SONDE_TLS_READ,
		[TLS_FN_GNUTLS_HANDSHAKE] = SONDE_TLS_HANDSHAKE,
		[TLS_FN_GNUTLS_DEINIT] = SONDE_TLS_END,
		[TLS_FN_GO_CONN_READ] = SONDE_TLS_GO_READ,
		[TLS_FN_GO_CONN_WRITE] = SONDE_TLS_GO_WRITE,
		[TLS_FN_GO_CONN_CLOSE] = SONDE_TLS_GO_CLOSE,
		[TLS_FN_RUSTLS_WRITE] = SONDE_TLS_RUST_WRITE,
		[TLS_FN_RUSTLS_WRITE_VECTORED] = SONDE_TLS_RUST_VECTOR,
		[TLS_FN_RUSTLS_TAKE_PLAINTEXT] = SONDE_TLS_RUST_TAKE,
	};

	return function < TLS_FN_COUNT ? shapes[function] : SONDE_TLS_NONE;
}

static bool has_returns(enum sonde_tls_shape shape)
{
	return (shape >= SONDE_TLS_READ && shape <= SONDE_TLS_WRITE_FLAGS) ||
	       shape == SONDE_TLS_GO_READ || shape == SONDE_TLS_GO_WRITE ||
	       shape == SONDE_TLS_RUST_WRITE || shape == SONDE_TLS_RUST_VECTOR;
}

static bool is_go(enum sonde_tls_shape shape)
{
	return shape >= SONDE_TLS_GO_READ && shape <= SONDE_TLS_GO_CLOSE;
}

static enum sonde_tls_shape return_of(enum sonde_tls_shape shape)
{
	return is_go(shape) ? SONDE_TLS_GO_RETURN : SONDE_TLS_RETURN;
}

/*
 * What is received and what is sent by rustls are functions that a compiler may have put into others, each by
 * itself: where one of them is not there, messages would be seen of one direction alone.
 */
static bool is_half(const struct inspect_tls *answer, enum sonde_tls_shape shape)
{
	bool writes = false, takes = false;

	if (shape < SONDE_TLS_RUST_WRITE)
		return false;
	for (uint32_t i = 0; i < answer->n_functions; i++) {
		writes |= answer->functions[i].function == TLS_FN_RUSTLS_WRITE;
		takes |= answer->functions[i].function == TLS_FN_RUSTLS_TAKE_PLAINTEXT;
	}
	return !writes || !takes;
}

static bool is_there(const struct tls_point *points, unsigned int n, uint64_t offset)
{
	for (unsigned int i = 0; i < n; i++)
		if (points[i].offset == offset)
			return true;
	return false;
}

/* A function whose end cannot be seen would never tell what it moved: it is left alone, and counted. */
static unsigned int choose(struct tls_watch *watch, const struct inspect_tls *answer,
			   struct tls_point *ret)
{
	const uint16_t endless = INSPECT_FN_RETURNS_UNKNOWN | INSPECT_FN_CUT;
	/* without a cookie a breakpoint could not tell how far below the frame it is */
	const uint8_t set =
		capture__features(watch->capture)->attach_cookie ? INSPECT_CHEAP : INSPECT_PLAIN;
	unsigned int n = 0;

	for (uint32_t i = 0; i < answer->n_points; i++) {
		const struct inspect_point *p = &answer->points[i];
		enum sonde_tls_shape shape = shape_of(p->function);

		if (shape == SONDE_TLS_NONE || !(p->sets & set) ||
		    (is_go(shape) && !answer->go.registers) || is_half(answer, shape))
			continue;
		if (has_returns(shape) && (answer->functions[p->of].flags & endless)) {
			watch->counts.unhooked += p->is_return == INSPECT_ENTRY;
			continue;
		}
		if (p->is_return != INSPECT_ENTRY && !has_returns(shape))
			continue;
		if (is_there(ret, n, p->offset))
			continue;
		ret[n].offset = p->offset;
		ret[n].below = p->below;
		ret[n++].shape = p->is_return == INSPECT_ENTRY ? shape : return_of(shape);
	}
	return n;
}

/* The programs are loaded when the first library is found. */
static int hook(struct tls_watch *watch, struct tls_file *file, const struct tls_point *points,
		unsigned int n)
{
	struct err err = { "" };
	int ret;

	if (watch->refused)
		return watch->refused;
	ret = capture__tls_open(watch->capture, &err);
	if (ret) {
		watch->refused = ret;
		log_warn("%s: nothing inside TLS is seen", err.text);
		return ret;
	}
	ret = capture__tls_attach(watch->capture, file->fd, points, n, &file->hooks);
	if (ret)
		log_warn("the kernel refuses breakpoints in a TLS library: %s", strerror(-ret));
	return ret;
}

static void on_answer(void *arg, const struct inspect_tls *answer)
{
	struct tls_point points[INSPECT_POINTS_MAX];
	struct tls_file *file = arg;
	struct tls_watch *watch = file->watch;
	unsigned int n = 0;

	watch->counts.files++;
	if (!answer)
		watch->counts.refused++;
	else if (!answer->status)
		n = choose(watch, answer, points);
	if (n && hook(watch, file, points, n))
		watch->counts.refused++;
	if (file->hooks && watch->verbose)
		log_info("TLS library %s is hooked, at %u places", file->name, n);
	file->state = file->hooks ? FILE_HOOKED : FILE_PLAIN;
	watch->counts.hooked += file->hooks != NULL;
	close(file->fd);
	file->fd = -1;
}

static struct tls_file *find(struct tls_watch *watch, uint64_t device, uint64_t inode)
{
	for (unsigned int i = 0; i < watch->n_files; i++)
		if (watch->files[i]->inode == inode && watch->files[i]->device == device)
			return watch->files[i];
	return NULL;
}

/* What programs call their files is theirs to choose: only what a terminal takes is told of it. */
static void name_of(char to[64], const char *path)
{
	const char *name = strrchr(path, '/');
	size_t n = 0;

	for (name = name ? name + 1 : path; *name && n < 63; name++)
		to[n++] = *name > ' ' && *name <= '~' ? *name : '?';
	to[n] = 0;
}

/* fd is ours from here on. */
static void look_at(struct tls_watch *watch, int fd, const char *path)
{
	struct tls_file *file = NULL;
	struct stat st;
	int copy;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || find(watch, st.st_dev, st.st_ino) ||
	    watch->n_files == TLS_FILES_MAX)
		goto out;
	file = calloc(1, sizeof(*file));
	copy = file ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (copy < 0)
		goto out;
	*file = (struct tls_file){ .watch = watch,
				   .device = st.st_dev,
				   .inode = st.st_ino,
				   .state = FILE_ASKED,
				   .fd = copy };
	name_of(file->name, path);
	watch->files[watch->n_files++] = file;
	if (identify__tls(watch->identify, fd, on_answer, file))
		on_answer(file, NULL);
	return;
out:
	free(file);
	close(fd);
}

/*
 * By its name: a shared library that may have such functions, or a program, which may have a library
 * linked into it.
 */
static bool is_worth(const char *path)
{
	static const char *const words[] = { "ssl",  "tls",    "tcnative", "conscrypt",
					     "grpc", "boring", "quic" };
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (!strstr(name, ".so"))
		return true;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(name, words[i]))
			return true;
	return false;
}

/* In the process's own view, and as it was mapped: it may have been deleted or replaced since. */
static int open_mapped(pid_t pid, uint64_t start, uint64_t end, const char *path)
{
	char name[PATH_MAX + 64];
	int fd;

	snprintf(name, sizeof(name), "/proc/%d/map_files/%llx-%llx", (int)pid,
		 (unsigned long long)start, (unsigned long long)end);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0)
		return fd;
	snprintf(name, sizeof(name), "/proc/%d/root%s", (int)pid, path);
	return open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static void on_mapped(void *arg, const struct tls_mapping *m)
{
	struct tls_watch *watch = arg;
	int fd;

	if (m->path[0] != '/' || !is_worth(m->path) ||
	    find(watch, makedev(m->major, m->minor), m->inode) ||
	    !capture__has_pid(watch->capture, m->pid))
		return;
	fd = open_mapped(m->pid, m->start, m->end, m->path);
	if (fd >= 0)
		look_at(watch, fd, m->path);
}

int tls_watch__follow(struct tls_watch *watch, pid_t pid)
{
	return tls_maps__follow(watch->maps, pid);
}

int tls_watch__fd(const struct tls_watch *watch)
{
	return tls_maps__fd(watch->maps);
}

void tls_watch__read(struct tls_watch *watch)
{
	tls_maps__read(watch->maps, on_mapped, watch);
}

void tls_watch__running(struct tls_watch *watch)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		pid_t pid = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? (pid_t)atoi(e->d_name) : 0;

		if (pid && pid != getpid() && capture__has_pid(watch->capture, pid))
			tls_maps__of_process(pid, on_mapped, watch);
	}
	if (dir)
		closedir(dir);
}

void tls_watch__system(struct tls_watch *watch)
{
	/* where the two are one folder, they are the same files */
	static const char *const patterns[] = {
		"/usr/lib/*/libssl.so.[0-9]*", "/usr/lib/*/libgnutls.so.[0-9]*",
		"/lib/*/libssl.so.[0-9]*",     "/lib/*/libgnutls.so.[0-9]*",
		"/usr/lib64/libssl.so.[0-9]*", "/usr/lib64/libgnutls.so.[0-9]*",
		"/usr/lib/libssl.so.[0-9]*",   "/usr/lib/libgnutls.so.[0-9]*",
		"/lib/libssl.so.[0-9]*",       "/usr/local/lib*/libssl.so.[0-9]*",
	};

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		glob_t found = { 0 };

		if (!glob(patterns[i], GLOB_NOSORT, NULL, &found))
			for (size_t at = 0; at < found.gl_pathc && at < 8; at++) {
				int fd =
					open(found.gl_pathv[at], O_RDONLY | O_CLOEXEC | O_NONBLOCK);

				if (fd >= 0)
					look_at(watch, fd, found.gl_pathv[at]);
			}
		globfree(&found);
	}
}

void tls_watch__counts(const struct tls_watch *watch, struct tls_watch_counts *ret)
{
	*ret = watch->counts;
	ret->lost = tls_maps__lost(watch->maps);
}

static bool lives(pid_t pid, uint64_t start_ns)
{
	int proc = procfs__open(pid, start_ns, NULL);

	if (proc >= 0)
		close(proc);
	return proc >= 0;
}

void tls_watch__tick(struct tls_watch *watch, uint64_t now_ns)
{
	if (!watch->counts.hooked || now_ns < watch->swept_ns + SWEEP_NS)
		return;
	watch->swept_ns = now_ns;
	capture__tls_sweep(watch->capture, lives);
}

void tls_watch__file(struct tls_watch *watch, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd >= 0)
		look_at(watch, fd, path);
}
