// SPDX-License-Identifier: Apache-2.0
#include "probe/identify.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/message.h"
#include "supervise/uid.h"

/* A little more than the role gives itself. */
#define DEADLINE_NS ((INSPECT_DEADLINE_MS + 500) * 1000000ull)

int identify__new(struct identify *identify, void (*answer)(void *, const void *, size_t),
		  void *arg, struct err *err)
{
	*identify = (struct identify){ .answer = answer, .arg = arg };
	identify->inspect =
		(struct role_process){ .role = ROLE_INSPECT, .pidfd = -1, .control = -1 };
	identify->cache = identity_cache__new(0);
	if (!identify->cache)
		return err__set(err, -ENOMEM, "out of memory");
	return 0;
}

static void free_waiting(struct identify_waiting *w)
{
	if (w->exe_fd >= 0)
		close(w->exe_fd);
	*w = (struct identify_waiting){ .exe_fd = -1 };
}

void identify__free(struct identify *identify)
{
	for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX; i++)
		if (identify->waiting[i].request)
			free_waiting(&identify->waiting[i]);
	if (identify->inspect.pid) {
		spawn__signal(&identify->inspect, SIGKILL);
		waitpid(identify->inspect.pid, NULL, 0);
	}
	spawn__forget(&identify->inspect);
	identity_cache__free(identify->cache);
	buf__free(&identify->message);
}

static int read_and_answer(struct identify *identify, const struct identity_query *query,
			   struct identity_hints *hints)
{
	buf__clear(&identify->message);
	if (identity__read(identify->cache, query, &identify->message, hints))
		return -ENOMEM;
	if (hints->late)
		log_warn("process %d did not let itself be read within a second: its spans are "
			 "named by what was known before",
			 (int)query->pid);
	identify->answer(identify->arg, identify->message.at, identify->message.len);
	return 0;
}

/* What is not known after all: said as "machine code of no known runtime", so that nobody waits on. */
static void give_up(struct identify *identify, struct identify_waiting *w, int status)
{
	struct inspect_answer unknown = { .abi = INSPECT_ABI, .status = status };

	identity_cache__put(identify->cache, &w->key, &unknown);
}

/* All that wait for this executable get their better answer. */
static void answer_waiting(struct identify *identify, const struct binary_key *key)
{
	for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX; i++) {
		struct identify_waiting *w = &identify->waiting[i];
		struct identity_hints hints;

		if (!w->request || w->tls || memcmp(&w->key, key, sizeof(*key)))
			continue;
		w->query.comm = w->comm;
		if (!read_and_answer(identify, &w->query, &hints) && hints.exe_fd >= 0)
			close(hints.exe_fd);
		free_waiting(w);
	}
}

static int start_inspect(struct identify *identify)
{
	struct err err = { "" };

	if (identify->inspect.pid)
		return 0;
	if (!spawn__role(&identify->inspect, NULL, 0, &err))
		return 0;
	log_warn("%s: executables are not looked into", err.text);
	return -ECHILD;
}

int identify__start(struct identify *identify, const uid_t *taken, unsigned int n, struct err *err)
{
	if (!geteuid() && uid__unused(taken, n, &identify->inspect.uid))
		return err__set(err, -ENOENT, "no user id from 61184 to 65519 is unused");
	start_inspect(identify);
	return 0;
}

static void answer_tls(struct identify_waiting *w, const struct inspect_tls *answer)
{
	identify_tls_fn fn = w->tls;
	void *arg = w->tls_arg;

	free_waiting(w);
	fn(arg, answer);
}

/* Plaintext goes by while a library is looked at; who a process is can be said later. */
static bool comes_before(const struct identify_waiting *w, const struct identify_waiting *other)
{
	if (!other || !w->tls != !other->tls)
		return !other || w->tls;
	return w->request < other->request;
}

static int ask(struct identify *identify, const struct identify_waiting *w)
{
	return w->tls ? inspect__ask_tls(identify->inspect.control, w->request, w->exe_fd) :
			inspect__ask(identify->inspect.control, w->request, w->exe_fd);
}

/* One at a time, so that a deadline and a death have one file to blame. */
static void ask_next(struct identify *identify)
{
	while (!identify->asked) {
		struct identify_waiting *w = NULL;

		for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX; i++)
			if (identify->waiting[i].request && comes_before(&identify->waiting[i], w))
				w = &identify->waiting[i];
		if (!w)
			return;
		if (!start_inspect(identify) && !ask(identify, w)) {
			identify->asked = w->request;
			identify->deadline_ns = clock__boot_ns() + DEADLINE_NS;
			return;
		}
		/* Dead, and not by this file: asked again once that is reaped. */
		if (identify->inspect.pid && !w->refused) {
			w->refused = true;
			spawn__signal(&identify->inspect, SIGKILL);
			return;
		}
		struct binary_key key = w->key;

		if (w->tls) {
			answer_tls(w, NULL);
			continue;
		}
		give_up(identify, w, -EIO);
		answer_waiting(identify, &key);
	}
}

static struct identify_waiting *find_asked(struct identify *identify)
{
	for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX; i++)
		if (identify->asked && identify->waiting[i].request == identify->asked)
			return &identify->waiting[i];
	return NULL;
}

static void finish_asked(struct identify *identify, const struct inspect_answer *answer,
			 const struct inspect_tls *tls)
{
	struct identify_waiting *w = find_asked(identify);

	identify->deadline_ns = 0;
	identify->asked = 0;
	/* A machine that stood still ends it, too: the second time it was this file. */
	if (w && !answer && !tls && !w->refused) {
		if (w->tls)
			log_warn("inspect ended over a library: it is asked once more");
		else
			log_warn("inspect ended over the executable of process %d: it is asked "
				 "once more",
				 (int)w->query.pid);
		w->refused = true;
	} else if (w && w->tls) {
		answer_tls(w, tls);
	} else if (w) {
		struct binary_key key = w->key;

		if (answer)
			identity_cache__put(identify->cache, &key, answer);
		else
			give_up(identify, w, -EPROTO);
		answer_waiting(identify, &key);
	}
	ask_next(identify);
}

/* 0 is none. */
static uint32_t next_request(struct identify *identify)
{
	if (!++identify->next_request)
		identify->next_request = 1;
	return identify->next_request;
}

int identify__tls(struct identify *identify, int fd, identify_tls_fn fn, void *arg)
{
	struct identify_waiting *w = NULL;

	for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX && !w; i++)
		if (!identify->waiting[i].request)
			w = &identify->waiting[i];
	if (!w) {
		close(fd);
		return -EAGAIN;
	}
	*w = (struct identify_waiting){
		.request = next_request(identify), .tls = fn, .tls_arg = arg, .exe_fd = fd
	};
	ask_next(identify);
	return 0;
}

static void ignore(void *arg, const struct inspect_tls *answer)
{
}

void identify__tls_forget(struct identify *identify)
{
	for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX; i++)
		if (identify->waiting[i].request && identify->waiting[i].tls)
			identify->waiting[i].tls = ignore;
}

bool identify__tls_busy(const struct identify *identify)
{
	for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX; i++)
		if (identify->waiting[i].request && identify->waiting[i].tls)
			return true;
	return false;
}

void identify__process(struct identify *identify, const struct identity_query *query)
{
	struct identity_hints hints = { .exe_fd = -1 };
	struct identify_waiting *w = NULL;

	if (read_and_answer(identify, query, &hints) || hints.exe_fd < 0)
		return;
	for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX && !w; i++)
		if (!identify->waiting[i].request)
			w = &identify->waiting[i];
	if (!w) {
		struct identify_waiting none = { .key = hints.key, .exe_fd = -1 };

		close(hints.exe_fd);
		give_up(identify, &none, -EAGAIN);
		read_and_answer(identify, query, &hints);
		return;
	}
	*w = (struct identify_waiting){ .request = next_request(identify),
					.query = *query,
					.key = hints.key,
					.exe_fd = hints.exe_fd };
	w->query.exec = false; /* asked again later, it is the same program */
	if (query->comm)
		strncpy(w->comm, query->comm, sizeof(w->comm) - 1);
	ask_next(identify);
}

void identify__remember(struct identify *identify, const struct identity_query *query)
{
	struct identity_query remember = *query;
	struct identity_hints hints;

	remember.remember = true;
	buf__clear(&identify->message);
	identity__read(identify->cache, &remember, &identify->message, &hints);
}

bool identify__busy(const struct identify *identify)
{
	/* also one that met a dead inspect, and is asked again once that is reaped */
	for (unsigned int i = 0; i < IDENTIFY_WAITING_MAX; i++)
		if (identify->waiting[i].request && !identify->waiting[i].tls)
			return true;
	return false;
}

int identify__fd(const struct identify *identify)
{
	return identify->inspect.control;
}

void identify__on_readable(struct identify *identify)
{
	const struct identify_waiting *w = find_asked(identify);
	struct inspect_answer answer;
	struct inspect_tls tls;
	bool of_tls = w && w->tls;
	int ret = of_tls ? inspect__answer_tls(identify->inspect.control, &tls) :
			   inspect__answer(identify->inspect.control, &answer);

	if (ret == -EAGAIN)
		return;
	if (!ret && (of_tls ? tls.request : answer.request) == identify->asked) {
		finish_asked(identify, of_tls ? NULL : &answer, of_tls ? &tls : NULL);
		return;
	}
	if (ret ==
	    -ECONNRESET) { /* its death is reaped; the file that killed it counts as unknown */
		spawn__signal(&identify->inspect, SIGKILL);
		close(identify->inspect.control);
		identify->inspect.control = -1;
	}
}

uint64_t identify__deadline(const struct identify *identify)
{
	return identify->deadline_ns;
}

void identify__tick(struct identify *identify, uint64_t now)
{
	if (identify->deadline_ns && now >= identify->deadline_ns)
		spawn__signal(&identify->inspect, SIGKILL);
}

bool identify__reap(struct identify *identify, pid_t pid)
{
	if (!pid || identify->inspect.pid != pid)
		return false;
	spawn__forget(&identify->inspect);
	finish_asked(identify, NULL, NULL);
	return true;
}
