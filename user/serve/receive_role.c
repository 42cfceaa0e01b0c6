// SPDX-License-Identifier: Apache-2.0
#include "serve/receive_role.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/receive.h"
#include "serve/receive_grpc.h"
#include "serve/receive_http.h"
#include "supervise/control.h"
#include "supervise/sandbox.h"

/* A request of 16 MiB is rare: its memory goes back. */
#define KEPT_BYTES (1 << 20)
/* What is free at the end of the heap stays: given back with each request it would be made and cleared anew for the next. */
#define TRIM_BYTES (2 << 20)
/* All of it goes back when nothing has had to wait for so long. */
#define TRIM_NS 1000000000ull
/* How often is looked whether ship has room again. */
#define PUSH_NS 1000000ull
/* At the end, for ship to take what waits. */
#define FLUSH_NS 3000000000ull

static volatile sig_atomic_t stop;

struct receive_role {
	struct receiver receiver;
	struct receive_http *http;
	struct receive_grpc *grpc;
	uint64_t trim_at; /* when the memory of what waited goes back; 0: none did since */
};

static void on_signal(int sig)
{
	stop = 1;
}

/* Ctrl-C reaches the whole group of processes: the parent decides when it ends. */
static void take_signals(void)
{
	struct sigaction end = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

static bool passed(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int open_all(struct receive_role *role, struct mhd *mhd, struct err *err)
{
	struct receiver *r = &role->receiver;
	int ret = frames__map(&r->frames, FD_FRAMES_MEMORY, true);

	r->wake = FD_FRAMES;
	r->account =
		mmap(NULL, sizeof(*r->account), PROT_READ | PROT_WRITE, MAP_SHARED, FD_RECEIVED, 0);
	if (!ret && r->account == MAP_FAILED)
		ret = -errno;
	if (ret)
		return err__set(err, ret, "cannot map what it was given: %s", strerror(-ret));
	if (passed(FD_LISTEN_HTTP)) {
		ret = mhd__load(mhd, err);
		if (!ret)
			ret = receive_http__new(&role->http, mhd, r, FD_LISTEN_HTTP, err);
	}
	if (!ret && passed(FD_LISTEN_GRPC))
		ret = receive_grpc__new(&role->grpc, r, FD_LISTEN_GRPC, err);
	return ret;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

static bool told_to_end(void)
{
	enum control_type type = 0;
	char ignored[64];
	long n = control__receive(FD_CONTROL, &type, ignored, sizeof(ignored));

	return n == -EPIPE || (n >= 0 && type == CONTROL_FINISH);
}

/* Everything that is due; how long nothing else is: ms, -1: for ever. */
static int work(struct receive_role *role)
{
	uint64_t now = clock__boot_ns(), next = 0;

	if (role->http)
		next = receive_http__work(role->http, now);
	if (role->grpc)
		next = earlier(next, receive_grpc__work(role->grpc, now));
	if (receiver__push(&role->receiver)) {
		next = earlier(next, now + PUSH_NS);
		role->trim_at = now + TRIM_NS;
	} else if (role->trim_at && role->trim_at <= now) {
		malloc_trim(0);
		role->trim_at = 0;
	}
	next = earlier(next, role->trim_at);
	if (!next)
		return -1;
	now = clock__boot_ns();
	return next <= now ? 0 : (int)((next - now) / 1000000) + 1;
}

static void run(struct receive_role *role)
{
	struct pollfd fds[] = {
		{ .fd = FD_CONTROL, .events = POLLIN },
		{ .fd = role->http ? receive_http__fd(role->http) : -1, .events = POLLIN },
		{ .fd = role->grpc ? receive_grpc__fd(role->grpc) : -1, .events = POLLIN },
	};

	while (!stop) {
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), work(role)) < 0 && errno != EINTR)
			return;
		if (fds[0].revents && told_to_end())
			return;
	}
}

static void flush(struct receive_role *role)
{
	struct receiver *r = &role->receiver;
	uint64_t until = clock__boot_ns() + FLUSH_NS;

	while (receiver__push(r) && clock__boot_ns() < until)
		clock__sleep_ms(1);
	r->account->dropped_shutdown += r->account->waiting;
	r->account->waiting = 0;
	shutdown(FD_FRAMES, SHUT_WR);
}

int receive__main(uid_t uid)
{
	struct sandbox sandbox = { .role = ROLE_RECEIVE, .uid = uid };
	struct serve_config config = { 0 };
	struct receive_role role = { .receiver = { .config = &config } };
	struct err err = { "" };
	struct mhd mhd;
	int ret = serve_config__take(&config, FD_CONFIG, &err);

	take_signals();
	mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
	mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
	if (!ret)
		ret = open_all(&role, &mhd, &err);
	if (!ret)
		ret = sandbox__enter(&sandbox, &err);
	if (ret) {
		control__send(FD_CONTROL, CONTROL_FAILED, err.text, strlen(err.text));
		log_error("%s", err.text);
		return 1;
	}
	control__send(FD_CONTROL, CONTROL_READY, NULL, 0);
	run(&role);
	receive_http__free(role.http);
	receive_grpc__free(role.grpc);
	flush(&role);
	receiver__free(&role.receiver);
	serve_config__free(&config);
	return 0;
}
