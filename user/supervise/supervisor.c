// SPDX-License-Identifier: Apache-2.0
#include "supervise/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "supervise/frames.h"
#include "supervise/uid.h"

#define READY_MS 10000
/* The first restart comes soon; a role that keeps dying is started less and less often. */
#define RESTART_FIRST_NS 100000000ull
#define RESTART_MAX_NS 30000000000ull
/* Alive for this long: the deaths before do not count any more. */
#define STABLE_NS 30000000000ull

static const enum role role_of[SUPERVISED] = { ROLE_TRACE, ROLE_SHIP, ROLE_SERVE, ROLE_RECEIVE };

void supervisor__pass(struct supervisor *s, unsigned int at, int ours, int place)
{
	s->fds[at][s->n_fds[at]++] = (struct spawn_fd){ ours, place };
}

static int pass_document(struct supervisor *s, unsigned int at, const struct buf *document)
{
	int fd = spawn__document("sonde-config", document->at, document->len);

	if (fd < 0)
		return fd;
	supervisor__pass(s, at, fd, FD_CONFIG);
	return 0;
}

static int choose_uids(struct supervisor *s)
{
	uid_t taken[SUPERVISED];
	int ret;

	for (unsigned int i = AT_TRACE; i <= AT_SHIP; i++) {
		if (geteuid())
			continue; /* we cannot become somebody else; the rest of the sandbox holds */
		ret = uid__unused(taken, i, &taken[i]);
		if (ret)
			return ret;
		s->roles[i].uid = taken[i];
	}
	return 0;
}

/* Memory and a socket between a role that writes frames and ship. */
static int make_frames(int sockets[2], int *ret_memory)
{
	void *at;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	at = spawn__shared("sonde-frames", FRAMES_MEMORY_BYTES, ret_memory);
	if (!at)
		return -errno;
	munmap(at, FRAMES_MEMORY_BYTES); /* it is between the two */
	return 0;
}

int supervisor__new(struct supervisor *s, const struct buf *trace_config,
		    const struct buf *ship_config, struct err *err)
{
	int ret;

	*s = (struct supervisor){ .account_fd = -1,
				  .frames = { -1, -1 },
				  .frames_memory = -1,
				  .received_frames = { -1, -1 },
				  .received_memory = -1,
				  .received_fd = -1 };
	for (unsigned int i = 0; i < SUPERVISED; i++)
		s->roles[i] =
			(struct role_process){ .role = role_of[i], .pidfd = -1, .control = -1 };
	s->account = spawn__shared("sonde-account", sizeof(*s->account), &s->account_fd);
	if (!s->account)
		return err__set(err, -errno, "cannot make shared memory: %s", strerror(errno));
	ret = make_frames(s->frames, &s->frames_memory);
	if (ret)
		return err__set(err, ret, "cannot make the way of the frames: %s", strerror(-ret));
	ret = choose_uids(s);
	if (ret)
		return err__set(
			err, ret,
			"no user id from 61184 to 65519 is unused: the roles cannot be separated");
	for (unsigned int i = AT_TRACE; i <= AT_SHIP; i++) {
		supervisor__pass(s, i, s->account_fd, FD_ACCOUNT);
		supervisor__pass(s, i, s->frames[i == AT_TRACE], FD_FRAMES);
		supervisor__pass(s, i, s->frames_memory, FD_FRAMES_MEMORY);
	}
	ret = pass_document(s, AT_TRACE, trace_config);
	if (!ret)
		ret = pass_document(s, AT_SHIP, ship_config);
	return ret ? err__set(err, ret, "cannot hand the configuration over: %s", strerror(-ret)) :
		     0;
}

int supervisor__serve(struct supervisor *s, const struct buf *config, int listening)
{
	const uid_t taken[] = { s->roles[AT_TRACE].uid, s->roles[AT_SHIP].uid };
	int ret = geteuid() ? 0 : uid__unused(taken, 2, &s->roles[AT_SERVE].uid);

	if (!ret)
		ret = pass_document(s, AT_SERVE, config);
	if (ret)
		return ret;
	supervisor__pass(s, AT_SERVE, listening, FD_LISTEN);
	s->live = live__new(&s->live_fd);
	if (!s->live)
		return -errno;
	supervisor__pass(s, AT_SERVE, s->live_fd, FD_LIVE);
	return 0;
}

void supervisor__publish(struct supervisor *s, struct view text)
{
	if (s->live)
		live__write(s->live, text, clock__boot_ns());
}

int supervisor__receive(struct supervisor *s, const struct buf *config, int http, int grpc)
{
	const uid_t taken[] = { s->roles[AT_TRACE].uid, s->roles[AT_SHIP].uid,
				s->roles[AT_SERVE].uid };
	int ret = geteuid() ? 0 : uid__unused(taken, 3, &s->roles[AT_RECEIVE].uid);

	if (!ret)
		ret = make_frames(s->received_frames, &s->received_memory);
	if (ret)
		return ret;
	s->received = spawn__shared("sonde-received", sizeof(*s->received), &s->received_fd);
	if (!s->received)
		return -errno;
	supervisor__pass(s, AT_RECEIVE, s->received_frames[1], FD_FRAMES);
	supervisor__pass(s, AT_RECEIVE, s->received_memory, FD_FRAMES_MEMORY);
	supervisor__pass(s, AT_RECEIVE, s->received_fd, FD_RECEIVED);
	if (http >= 0)
		supervisor__pass(s, AT_RECEIVE, http, FD_LISTEN_HTTP);
	if (grpc >= 0)
		supervisor__pass(s, AT_RECEIVE, grpc, FD_LISTEN_GRPC);
	supervisor__pass(s, AT_SHIP, s->received_frames[0], FD_MORE_FRAMES);
	supervisor__pass(s, AT_SHIP, s->received_memory, FD_MORE_FRAMES_MEMORY);
	return pass_document(s, AT_RECEIVE, config);
}

int supervisor__reconfigure(struct supervisor *s, unsigned int at, const struct buf *config)
{
	int fd = spawn__document("sonde-config", config->at, config->len);

	if (fd < 0)
		return fd;
	for (unsigned int i = 0; i < s->n_fds[at]; i++) {
		if (s->fds[at][i].place != FD_CONFIG)
			continue;
		close(s->fds[at][i].ours);
		s->fds[at][i].ours = fd;
	}
	if (s->roles[at].pid) {
		s->replacing[at] = true;
		control__send(s->roles[at].control, CONTROL_FINISH, NULL, 0);
	}
	return 0;
}

/* The roles share the descriptor's position: each reader starts at the front. */
static void rewind_config(struct supervisor *s, unsigned int at)
{
	for (unsigned int i = 0; i < s->n_fds[at]; i++)
		if (s->fds[at][i].place == FD_CONFIG)
			lseek(s->fds[at][i].ours, 0, SEEK_SET);
}

static int start(struct supervisor *s, unsigned int at, struct err *err)
{
	rewind_config(s, at);
	s->ready[at] = false;
	return spawn__role(&s->roles[at], s->fds[at], s->n_fds[at], err);
}

static void end_at_once(struct role_process *role)
{
	if (role->pid) {
		spawn__signal(role, SIGKILL);
		waitpid(role->pid, NULL, 0);
	}
	spawn__forget(role);
}

static int wait_ready(struct supervisor *s, unsigned int at, struct err *err)
{
	struct pollfd p = { .fd = s->roles[at].control, .events = POLLIN };
	enum control_type type = 0;
	char text[sizeof(struct err)];
	long n = -EAGAIN;

	if (poll(&p, 1, READY_MS) == 1)
		n = control__receive(p.fd, &type, text, sizeof(text) - 1);
	if (n >= 0 && type == CONTROL_READY) {
		s->ready[at] = true;
		return 0;
	}
	if (n > 0 && type == CONTROL_FAILED) {
		text[n] = 0;
		return err__set(err, -ECHILD, "the %s role: %s", roles__name(role_of[at]), text);
	}
	return err__set(err, -ECHILD, "the %s role did not start%s", roles__name(role_of[at]),
			n == -EPIPE ? ": it ended at once" : " within 10 s");
}

/* Those that capture does without. */
static void start_beside(struct supervisor *s, unsigned int at)
{
	struct err err = { "" };

	if (!start(s, at, &err) && !wait_ready(s, at, &err))
		return;
	log_warn("nothing is %s: %s", at == AT_SERVE ? "served" : "received", err.text);
	end_at_once(&s->roles[at]);
}

int supervisor__start(struct supervisor *s, struct err *err)
{
	int ret;

	/* The reader first. */
	for (int at = AT_SHIP; at >= AT_TRACE; at--) {
		if (at == AT_TRACE && s->untraced)
			continue;
		ret = start(s, (unsigned int)at, err);
		if (!ret)
			ret = wait_ready(s, (unsigned int)at, err);
		if (ret)
			return ret;
	}
	for (unsigned int i = AT_SERVE; i < SUPERVISED; i++)
		if (s->n_fds[i])
			start_beside(s, i);
	return 0;
}

/* What was in the dead role's hands is gone; the gauges that said how much become losses. */
static void count_loss(struct supervisor *s, unsigned int at)
{
	struct account_trace *t = &s->account->trace;

	if (at == AT_TRACE) {
		t->dropped_restart += account__in_hand(t);
		t->frames_restart += t->frames_waiting;
		t->ex_open = t->ex_held = t->conns_open = t->frames_waiting = 0;
		return;
	}
	if (at == AT_RECEIVE) {
		s->received->dropped_restart += s->received->waiting;
		s->received->waiting = 0;
	}
	if (at != AT_SHIP)
		return;
	for (unsigned int i = 0; i < ACCOUNT_SINKS_MAX; i++) {
		s->account->sinks[i].dropped_restart += s->account->sinks[i].queued;
		s->account->sinks[i].queued = 0;
	}
}

static void say_death(const struct role_process *role, int status, uint64_t back_ns)
{
	if (WIFSIGNALED(status))
		log_warn("the %s role was killed by signal %d; it starts again in %llu ms",
			 roles__name(role->role), WTERMSIG(status),
			 (unsigned long long)(back_ns / 1000000));
	else
		log_warn("the %s role ended with status %d; it starts again in %llu ms",
			 roles__name(role->role), WEXITSTATUS(status),
			 (unsigned long long)(back_ns / 1000000));
}

bool supervisor__reap(struct supervisor *s, pid_t pid, int status)
{
	for (unsigned int at = 0; at < SUPERVISED; at++) {
		struct role_process *role = &s->roles[at];
		uint64_t back = RESTART_FIRST_NS, now = clock__boot_ns();

		if (role->pid != pid || !pid)
			continue;
		spawn__forget(role);
		s->ready[at] = false;
		if (s->finishing)
			return true;
		if (s->replacing[at] && WIFEXITED(status) && !WEXITSTATUS(status)) {
			s->replacing[at] = false;
			role->restart_ns = now;
			return true;
		}
		s->replacing[at] = false;
		if (now - role->started_ns > STABLE_NS)
			role->deaths = 0;
		for (unsigned int i = 0; i < role->deaths && back < RESTART_MAX_NS; i++)
			back *= 2;
		role->deaths++;
		role->restart_ns = now + back;
		count_loss(s, at);
		say_death(role, status, back);
		return true;
	}
	return false;
}

uint64_t supervisor__tick(struct supervisor *s, unsigned int *ret_restarted)
{
	uint64_t now = clock__boot_ns(), next = 0;
	struct err err = { "" };

	*ret_restarted = 0;
	for (unsigned int at = 0; at < SUPERVISED; at++) {
		struct role_process *role = &s->roles[at];

		if (!role->restart_ns || s->finishing)
			continue;
		if (role->restart_ns > now) {
			next = !next || role->restart_ns < next ? role->restart_ns : next;
			continue;
		}
		if (start(s, at, &err)) {
			log_error("%s", err.text);
			role->restart_ns = now + RESTART_MAX_NS;
			next = !next || role->restart_ns < next ? role->restart_ns : next;
			continue;
		}
		*ret_restarted |= 1u << at;
		/* Spans of a new ship's queue need their resources again. */
		if (at == AT_SHIP && s->roles[AT_TRACE].pid)
			control__send(s->roles[AT_TRACE].control, CONTROL_RESEND, NULL, 0);
	}
	return next;
}

/* Waits for a role's end until `until`, then kills it. */
static void wait_end(struct supervisor *s, unsigned int at, uint64_t until)
{
	struct role_process *role = &s->roles[at];
	int status;

	while (role->pid) {
		pid_t pid = waitpid(role->pid, &status, WNOHANG);
		struct pollfd p = { .fd = role->pidfd, .events = POLLIN };
		uint64_t now = clock__boot_ns();

		if (pid == role->pid || (pid < 0 && errno == ECHILD)) {
			if (pid > 0 && (!WIFEXITED(status) || WEXITSTATUS(status)))
				count_loss(s, at);
			spawn__forget(role);
			return;
		}
		if (now >= until) {
			log_warn("the %s role did not end in time and is killed",
				 roles__name(role->role));
			spawn__signal(role, SIGKILL);
			waitpid(role->pid, &status, 0);
			count_loss(s, at);
			spawn__forget(role);
			return;
		}
		poll(&p, role->pidfd >= 0 ? 1 : 0,
		     role->pidfd >= 0 ? (int)((until - now) / 1000000) + 1 : 10);
	}
}

void supervisor__finish(struct supervisor *s, unsigned int seconds)
{
	uint64_t now = clock__boot_ns(), until = now + seconds * 1000000000ull;

	s->finishing = true;
	if (s->roles[AT_RECEIVE].pid) {
		control__send(s->roles[AT_RECEIVE].control, CONTROL_FINISH, NULL, 0);
		wait_end(s, AT_RECEIVE, until);
	}
	if (s->roles[AT_TRACE].pid) {
		control__send(s->roles[AT_TRACE].control, CONTROL_FINISH, NULL, 0);
		wait_end(s, AT_TRACE, until);
	}
	/* trace says "no more" itself; if it could not, we do. */
	if (s->frames[1] >= 0)
		shutdown(s->frames[1], SHUT_WR);
	if (s->received_frames[1] >= 0)
		shutdown(s->received_frames[1], SHUT_WR);
	if (s->roles[AT_SHIP].pid) {
		control__send(s->roles[AT_SHIP].control, CONTROL_FINISH, NULL, 0);
		wait_end(s, AT_SHIP, until + 1000000000ull);
	}
}

void supervisor__end_serve(struct supervisor *s)
{
	if (!s->roles[AT_SERVE].pid)
		return;
	control__send(s->roles[AT_SERVE].control, CONTROL_FINISH, NULL, 0);
	wait_end(s, AT_SERVE, clock__boot_ns() + 1000000000ull);
}

void supervisor__free(struct supervisor *s)
{
	for (unsigned int at = 0; at < SUPERVISED; at++) {
		end_at_once(&s->roles[at]);
		for (unsigned int i = 0; i < s->n_fds[at]; i++)
			if (s->fds[at][i].place == FD_CONFIG)
				close(s->fds[at][i].ours);
	}
	for (int i = 0; i < 2; i++) {
		if (s->frames[i] >= 0)
			close(s->frames[i]);
		if (s->received_frames[i] >= 0)
			close(s->received_frames[i]);
	}
	if (s->frames_memory >= 0)
		close(s->frames_memory);
	if (s->received_memory >= 0)
		close(s->received_memory);
	if (s->received)
		munmap(s->received, sizeof(*s->received));
	if (s->received_fd >= 0)
		close(s->received_fd);
	if (s->live) {
		live__unmap(s->live);
		close(s->live_fd);
	}
	if (s->account)
		munmap(s->account, sizeof(*s->account));
	if (s->account_fd >= 0)
		close(s->account_fd);
}
