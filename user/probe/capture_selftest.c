/* SPDX-License-Identifier: Apache-2.0 */
/* Do the programs fire? Loading and attaching say nothing about that. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "probe/capture_internal.h"

/* Its end is the close() itself: none of it is left to a moment that comes later. */
static void end_at_once(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* A connected pair of TCP sockets on loopback. -errno where this host has no loopback to test on. */
static int tcp_pair(int pair[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int listener, err = 0;

	pair[0] = pair[1] = -1;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return -errno;
	if (bind(listener, (struct sockaddr *)&at, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&at, &len)) {
		err = -errno;
		goto out;
	}
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pair[0] < 0 || connect(pair[0], (struct sockaddr *)&at, len)) {
		err = -errno;
		goto out;
	}
	pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (pair[1] < 0)
		err = -errno;
out:
	close(listener);
	if (err && pair[0] >= 0)
		close(pair[0]);
	return err;
}

/* Moves the ring's consumer to its producer: what the test has left in it is nobody's. */
static void ring_forget(int fd)
{
	long page = sysconf(_SC_PAGESIZE);
	unsigned long *consumer, *producer;

	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return;
	producer = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, page);
	if (producer != MAP_FAILED) {
		__atomic_store_n(consumer, __atomic_load_n(producer, __ATOMIC_ACQUIRE),
				 __ATOMIC_RELEASE);
		munmap(producer, page);
	}
	munmap(consumer, page);
}

int capture__selftest(struct capture *c)
{
	/* the first bytes of a TLS record: none of ours, so nothing is captured */
	static const char bytes[] = "\x16\x03\x01 sonde looks whether its programs fire";
	int pair[2];
	struct sonde_kcounters seen;
	char back[sizeof(bytes)];
	bool fired = true;

	if (tcp_pair(pair))
		return 0; /* no loopback here: nothing to test with, and nothing said against it */
	capture__add_pid(c, getpid(), SONDE_PID_IN);
	if (send(pair[0], bytes, sizeof(bytes), MSG_NOSIGNAL) == sizeof(bytes) &&
	    recv(pair[1], back, sizeof(back), MSG_WAITALL) == sizeof(back)) {
		capture__counters(c, &seen);
		if (!c->storage_fails && (seen.state_thread_full || seen.state_conn_full))
			c->storage_fails = 1;
		fired = seen.hits_send && seen.hits_recv && seen.conns_seen;
	}
	end_at_once(pair[0]);
	end_at_once(pair[1]);
	capture__add_pid(c, getpid(), SONDE_PID_OWN);
	ring_forget(capture__ring_fd(c));
	memset(c->counters, 0, c->cpus * sizeof(*c->counters));
	return fired ? 0 : -ENOTSUP;
}
