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
#include "base/clock.h"
#include "base/log.h"
#include "probe/procfs.h"
#include "probe/tls_maps.h"
#include "probe/tls_watch_internal.h"

/* Connections whose processes have ended are looked for so often, while there is traffic. */
#define SWEEP_NS 10000000000ull

/* A machine that starts more than its rings hold loses all the time: looked at everything again no more often than this. */
#define RELIST_NS 1000000000ull

/* Files that inspect has before it at once: it answers others, too, and has room for some dozens. */
#define ASKED_MAX 16

static int watch_open(struct tls_watch *watch)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	int err = tls_maps__new(&watch->maps);

	if (err)
		return err;
	watch->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (watch->epoll < 0 ||
	    epoll_ctl(watch->epoll, EPOLL_CTL_ADD, tls_maps__fd(watch->maps), &event))
		return -errno;
	return 0;
}

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
	watch->epoll = -1;
	code = watch_open(watch);
	if (code) {
		tls_watch__free(watch);
		return err__set(err, code, "cannot watch what processes map: %s", strerror(-code));
	}
	*ret = watch;
	return 0;
}

static void file_free(struct tls_file *file)
{
	tls_use__end(&file->use, 0);
	tls_hooks__free(file->hooks);
	free(file->points);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}

void tls_watch__free(struct tls_watch *watch)
{
	if (!watch)
		return;
	tls_watch__wait_off(watch);
	identify__tls_forget(watch->identify);
	for (unsigned int i = 0; i < watch->n_files; i++)
		file_free(watch->files[i]);
	tls_maps__free(watch->maps);
	if (watch->epoll >= 0)
		close(watch->epoll);
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

/* What belongs at a point of a function whose shape is this. */
static enum sonde_tls_shape shape_at(const struct inspect_point *point, enum sonde_tls_shape shape)
{
	switch (point->is_return) {
	case INSPECT_ENTRY:
		return shape;
	case INSPECT_INSIDE:
		return shape == SONDE_TLS_GO_READ ? SONDE_TLS_GO_COPY : SONDE_TLS_GO_RECORD;
	default:
		return is_go(shape) ? SONDE_TLS_GO_RETURN : SONDE_TLS_RETURN;
	}
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
		ret[n++] = (struct tls_point){ .offset = p->offset,
					       .shape = shape_at(p, shape),
					       .below = p->below,
					       .result = p->result,
					       .condition = p->condition };
	}
	return n;
}

/* The programs are loaded when the first library is found. fd: the file's. */
static int hook(struct tls_watch *watch, struct tls_file *file, int fd)
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
	/* of one file, a call would be told twice meanwhile */
	tls_watch__wait_off(watch);
	ret = capture__tls_attach(watch->capture, fd, file->points, file->n_points, &file->hooks);
	if (ret) {
		log_warn("the kernel refuses breakpoints in a TLS library: %s", strerror(-ret));
		return ret;
	}
	file->state = FILE_HOOKED;
	watch->counts.hooked++;
	watch->counts.hooked_ever++;
	/* it may have been unmapped again while it was looked at: then this is looked for */
	if (!file->use.pid && !file->kept)
		tls_use__end(&file->use, clock__boot_ns());
	if (watch->verbose)
		log_info("TLS library %s is hooked, at %u places", file->name, file->n_points);
	return 0;
}

static void ask_waiting(struct tls_watch *watch);

static void on_answer(void *arg, const struct inspect_tls *answer)
{
	struct tls_point points[INSPECT_POINTS_MAX];
	struct tls_file *file = arg;
	struct tls_watch *watch = file->watch;
	unsigned int n = 0;

	watch->n_asked--;
	watch->counts.files++;
	if (!answer)
		watch->counts.refused++;
	else if (!answer->status)
		n = choose(watch, answer, points);
	if (answer && (answer->status ? answer->status != -ENOEXEC : answer->flags & INSPECT_CUT))
		watch->counts.broken++;
	file->state = FILE_PLAIN;
	if (n)
		file->points = malloc(n * sizeof(points[0]));
	if (file->points) {
		memcpy(file->points, points, n * sizeof(points[0]));
		file->n_points = n;
	}
	if (n && (!file->points || hook(watch, file, file->fd)))
		watch->counts.refused++;
	if (!file->hooks)
		tls_use__end(&file->use, 0);
	close(file->fd);
	file->fd = -1;
	ask_waiting(watch);
}

static void ask(struct tls_file *file)
{
	int copy = fcntl(file->fd, F_DUPFD_CLOEXEC, 3);

	file->state = FILE_ASKED;
	file->watch->n_asked++;
	if (copy < 0 || identify__tls(file->watch->identify, copy, on_answer, file))
		on_answer(file, NULL);
}

static void ask_waiting(struct tls_watch *watch)
{
	for (unsigned int i = 0; i < watch->n_files && watch->n_asked < ASKED_MAX; i++)
		if (watch->files[i]->state == FILE_WAITS)
			ask(watch->files[i]);
}

struct tls_file *tls_watch__find(struct tls_watch *watch, uint64_t device, uint64_t inode)
{
	for (unsigned int i = 0; i < watch->n_files; i++)
		if (watch->files[i]->key.inode == inode && watch->files[i]->key.device == device)
			return watch->files[i];
	return NULL;
}

struct tls_file *tls_watch__find_mapped(struct tls_watch *watch, const struct tls_mapping *m)
{
	uint64_t device = makedev(m->major, m->minor);

	for (unsigned int i = 0; i < watch->n_files; i++)
		if (watch->files[i]->hooks && watch->files[i]->map_inode == m->inode &&
		    watch->files[i]->map_device == device)
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

static struct file_key key_of(const struct stat *st)
{
	return (struct file_key){ st->st_dev, st->st_ino, (uint64_t)st->st_size, st->st_mtim,
				  st->st_ctim };
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Breakpoints hold on to a file: no other can have its numbers, and all that matters is what is in it. */
static bool same(const struct tls_file *file, const struct file_key *key)
{
	return file->key.bytes == key->bytes && same_time(&file->key.written, &key->written) &&
	       (file->hooks || same_time(&file->key.changed, &key->changed));
}

static void forget(struct tls_watch *watch, struct tls_file *file)
{
	for (unsigned int i = 0; i < watch->n_files; i++)
		if (watch->files[i] == file)
			watch->files[i] = watch->files[--watch->n_files];
	file_free(file);
}

/* Room for one more: of those without breakpoints the one that was not mapped for longest is forgotten. */
static bool make_room(struct tls_watch *watch)
{
	struct tls_file *oldest = NULL;

	if (watch->n_files < TLS_FILES_MAX)
		return true;
	for (unsigned int i = 0; i < watch->n_files; i++) {
		struct tls_file *file = watch->files[i];

		if ((file->state == FILE_PLAIN || file->state == FILE_KNOWN) &&
		    (!oldest || file->met_ns < oldest->met_ns))
			oldest = file;
	}
	if (oldest)
		forget(watch, oldest);
	else
		watch->counts.full++;
	return oldest;
}

/*
 * A file that is known, met again. false: it is another one by now, with the same numbers, or was written to: what is
 * known of it is void. Breakpoints in what was overwritten would be in the middle of instructions.
 */
static bool meet(struct tls_watch *watch, struct tls_file *file, int fd, const struct file_key *key)
{
	if (file->state == FILE_WAITS || file->state == FILE_ASKED)
		return true;
	if (!same(file, key)) {
		watch->counts.hooked -= file->hooks != NULL;
		forget(watch, file);
		return false;
	}
	if (file->state == FILE_KNOWN) {
		/* it was let go too soon */
		if (file->use.grace_ns < TLS_GRACE_MAX_NS)
			file->use.grace_ns *= 2;
		if (hook(watch, file, fd)) {
			watch->counts.refused++;
			file->state = FILE_PLAIN;
			tls_use__end(&file->use, 0);
		}
	}
	return true;
}

/* The file that fd is, which is ours from here on; NULL: it is not looked at. */
static struct tls_file *look_at(struct tls_watch *watch, int fd, const char *path)
{
	struct tls_file *file = NULL;
	struct file_key key;
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		goto out;
	key = key_of(&st);
	file = tls_watch__find(watch, st.st_dev, st.st_ino);
	if (file && meet(watch, file, fd, &key))
		goto out;
	file = make_room(watch) ? calloc(1, sizeof(*file)) : NULL;
	if (!file)
		goto out;
	*file = (struct tls_file){ .watch = watch,
				   .key = key,
				   .state = FILE_WAITS,
				   .fd = fd,
				   .kept = watch->advance,
				   .met_ns = clock__boot_ns() };
	tls_use__init(&file->use);
	name_of(file->name, path);
	watch->files[watch->n_files++] = file;
	ask_waiting(watch);
	return file;
out:
	close(fd);
	return file;
}

bool tls_watch__is_worth(const char *path)
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

int tls_watch__open_mapped(pid_t pid, uint64_t start, uint64_t end, const char *path)
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

/* What is mapped, looked at; NULL: it cannot be. */
static struct tls_file *file_of(struct tls_watch *watch, const struct tls_mapping *m)
{
	int fd = tls_watch__open_mapped(m->pid, m->start, m->end, m->path);
	struct tls_file *file = fd >= 0 ? look_at(watch, fd, m->path) : NULL;

	watch->counts.gone += fd < 0;
	if (file) {
		file->map_device = makedev(m->major, m->minor);
		file->map_inode = m->inode;
		file->met_ns = clock__boot_ns();
	}
	return file;
}

static void used_by(struct tls_watch *watch, struct tls_file *file, pid_t pid)
{
	if (!file->kept && file->state != FILE_PLAIN &&
	    tls_use__by(&file->use, pid, watch->epoll, file) && file->state == FILE_HOOKED &&
	    !file->use.left_ns)
		tls_use__end(&file->use, clock__boot_ns());
}

/* A process that begins another program has let go of all that it had mapped. */
static void left_by(struct tls_watch *watch, pid_t pid, const struct tls_file *but)
{
	for (unsigned int i = 0; i < watch->n_files; i++)
		if (watch->files[i]->use.pid == pid && watch->files[i] != but)
			tls_use__end(&watch->files[i]->use, clock__boot_ns());
}

static void on_mapped(void *arg, const struct tls_mapping *m)
{
	struct tls_watch *watch = arg;
	struct tls_file *file;

	if (m->path[0] != '/' || !tls_watch__is_worth(m->path) ||
	    !capture__has_pid(watch->capture, m->pid))
		return;
	file = file_of(watch, m);
	if (!strstr(m->path, ".so"))
		left_by(watch, m->pid, file);
	if (file)
		used_by(watch, file, m->pid);
}

int tls_watch__follow(struct tls_watch *watch)
{
	return tls_maps__follow(watch->maps);
}

int tls_watch__fd(const struct tls_watch *watch)
{
	return watch->epoll;
}

void tls_watch__read(struct tls_watch *watch)
{
	struct epoll_event events[64];
	int n = epoll_wait(watch->epoll, events, 64, 0);

	/* before mappings are read, which may make that files are forgotten */
	for (int i = 0; i < n; i++)
		if (events[i].data.ptr)
			tls_use__end(&((struct tls_file *)events[i].data.ptr)->use,
				     clock__boot_ns());
	tls_maps__read(watch->maps, on_mapped, watch);
	tls_watch__make_up(watch, clock__boot_ns());
}

uint64_t tls_watch__make_up(struct tls_watch *watch, uint64_t now_ns)
{
	uint64_t due = watch->listed_ns + RELIST_NS;

	if (tls_maps__lost(watch->maps) == watch->lost)
		return 0;
	if (now_ns < due)
		return due;
	watch->lost = tls_maps__lost(watch->maps);
	watch->listed_ns = now_ns;
	tls_watch__each_mapping(watch, on_mapped, false);
	return 0;
}

void tls_watch__running(struct tls_watch *watch)
{
	tls_watch__each_mapping(watch, on_mapped, false);
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

	watch->advance = true;
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
	watch->advance = false;
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
