/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ringdump: the kernel side by itself. Runs a command, prints every record of it in the order of
 * the ring and at the end the counters and whether they balance. For tests and for people who work
 * on bpf/.
 *
 *   ringdump [-t TIER] [-r RING_BYTES] [-q] [-d] [-s MS] [-p PID] [-- CMD ARG…]
 *
 * -d: goes over to another tier when hits are missed. -q: no records, only the end. -s: the consumer sleeps so long before it reads anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe/capture.h"

#define BUSY (1u << 31)
#define DISCARD (1u << 30)

static struct {
	uint64_t *consumer;
	const uint64_t *producer;
	const uint8_t *data;
	uint32_t bytes;
} ring;
static struct sonde_slot *slots;
static unsigned long seen[16];
static bool quiet, demote;

static const char *const types[] = { "?",    "CONN", "DATA", "END", "SHUT",
				     "GONE", "EXIT", "EXEC", "PROC" };

static void print_text(const uint8_t *at, uint32_t n)
{
	for (uint32_t i = 0; i < n && i < 48; i++)
		putchar(at[i] >= 32 && at[i] < 127 ? at[i] : '.');
}

static void print_record(const struct sonde_rec *h)
{
	static const char flags[] = "LTSxUHFRCBG";

	printf("%-4s %012llx ", h->type < 9 ? types[h->type] : "?", (unsigned long long)h->conn);
	for (int i = 0; flags[i]; i++)
		putchar(h->flags & 1 << i ? flags[i] : '-');
	if (h->type == SONDE_REC_DATA) {
		const struct sonde_rec_data *d = (const void *)h;

		printf(" tid=%u turn=%u off=%llu call=%u copied=%u piece=%u rec=%u "
		       "ev=%llx/%u,%llx/%u |",
		       d->tid, d->turn, (unsigned long long)d->offset, d->call_bytes, d->copied,
		       d->piece, h->bytes, (unsigned long long)d->evidence.at[0].conn,
		       d->evidence.at[0].turn, (unsigned long long)d->evidence.at[1].conn,
		       d->evidence.at[1].turn);
		print_text(d->payload, d->copied);
	} else if (h->type == SONDE_REC_CONN) {
		const struct sonde_rec_conn *c = (const void *)h;

		printf(" tgid=%u fam=%u role=%u verdict=%u %u->%u start=%u base=%u/%u "
		       "off=%llu/%llu slot=%d pair=%llx |",
		       c->tgid, c->family, c->role, c->verdict, c->local_port, c->remote_port,
		       c->from_start, c->tx_base, c->rx_base, (unsigned long long)c->tx_offset,
		       (unsigned long long)c->rx_offset, (int)c->slot,
		       (unsigned long long)c->pair[0]);
		print_text(c->first, c->first_bytes);
	} else if (h->type == SONDE_REC_END) {
		const struct sonde_rec_end *e = (const void *)h;

		printf(" turn=%u off=%llu", e->turn, (unsigned long long)e->offset);
	} else if (h->type == SONDE_REC_SHUT || h->type == SONDE_REC_GONE) {
		const struct sonde_rec_gone *g = (const void *)h;

		printf(" tx=%llu rx=%llu", (unsigned long long)g->tx_offset,
		       (unsigned long long)g->rx_offset);
	} else {
		const struct sonde_rec_proc *p = (const void *)h;

		printf(" tgid=%u/%u %s", p->tgid, p->ns_tgid, p->comm);
	}
	putchar('\n');
}

static void consume(void)
{
	for (;;) {
		uint64_t at = *ring.consumer;
		const uint32_t *head;
		uint32_t len;

		if (at >= __atomic_load_n(ring.producer, __ATOMIC_ACQUIRE))
			return;
		head = (const void *)(ring.data + (at & (ring.bytes - 1)));
		len = __atomic_load_n(head, __ATOMIC_ACQUIRE);
		if (len & BUSY)
			return;
		if (!(len & DISCARD)) {
			const struct sonde_rec *h = (const void *)(head + 2);

			seen[0]++;
			seen[h->type < 9 ? h->type : 9]++;
			if (!quiet)
				print_record(h);
		}
		len &= ~(BUSY | DISCARD);
		__atomic_store_n(ring.consumer, at + ((len + 8 + 7) & ~7u), __ATOMIC_RELEASE);
	}
}

static int ring_map(const struct capture *c)
{
	long page = sysconf(_SC_PAGESIZE);
	int fd = capture__ring_fd(c);

	ring.bytes = capture__ring_bytes(c);
	ring.consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ring.producer = mmap(NULL, page + 2ul * ring.bytes, PROT_READ, MAP_SHARED, fd, page);
	ring.data = (const uint8_t *)ring.producer + page;
	slots = mmap(NULL, capture__slots(c) * sizeof(*slots), PROT_READ | PROT_WRITE, MAP_SHARED,
		     capture__slots_fd(c), 0);
	return ring.consumer == MAP_FAILED || ring.producer == MAP_FAILED || slots == MAP_FAILED;
}

static void on_proc(void *arg, const struct sonde_rec_told *record)
{
	(void)arg;
	seen[10]++;
	if (!quiet)
		print_record(&record->proc.h);
}

static int report(const struct capture *c)
{
	struct capture_miss misses[32];
	struct sonde_kcounters k;
	long records, bytes;
	unsigned int n;

	capture__counters(c, &k);
#define X(name, comment)                                                                           \
	if (k.name)                                                                                \
		printf("  %-22s %llu\n", #name, (unsigned long long)k.name);
	SONDE_KCOUNTERS(X)
#undef X
	for (int i = 1; i < 9; i++)
		if (seen[i])
			printf("  read %-17s %lu\n", types[i], seen[i]);
	n = capture__misses(c, misses, 32);
	for (unsigned int i = 0; i < n && i < 32; i++)
		if (misses[i].missed || !misses[i].known)
			printf("  missed %-15s %s%llu\n", misses[i].program,
			       misses[i].known ? "" : "unknown, at least ",
			       (unsigned long long)misses[i].missed);
	records = k.records_attempted - k.records_delivered - k.lost_ring_full - k.lost_ring_busy -
		  k.lost_life_reserve - k.lost_fault;
	bytes = k.bytes_sequence - k.bytes_captured - k.bytes_counted - k.gap_missed - k.gap_lost;
	printf("tier %s residual records %ld bytes %ld unread %ld\n", capture__tier(c), records,
	       bytes, (long)(k.records_delivered - seen[0]));
	return records || bytes || k.records_delivered != seen[0];
}

int main(int argc, char **argv)
{
	struct capture_options o = { .pids_later = true };
	struct capture *c;
	struct err err = {};
	int opt, status = 0, go[2], ret, naps = 0;
	pid_t pid = 0, traced[1];

	while ((opt = getopt(argc, argv, "+t:r:qds:p:v")) != -1) {
		switch (opt) {
		case 't':
			o.tier = optarg;
			break;
		case 'r':
			o.ring_bytes = atoi(optarg);
			break;
		case 'q':
			quiet = true;
			break;
		case 'd':
			demote = true;
			break;
		case 's':
			naps = atoi(optarg);
			break;
		case 'p':
			traced[0] = atoi(optarg);
			o.pids = traced;
			o.n_pids = 1;
			break;
		case 'v':
			o.verbose = true;
			break;
		default:
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	if (pipe2(go, O_CLOEXEC))
		return 1;
	if (optind < argc) {
		pid = fork();
		if (pid == 0) {
			char byte;

			close(go[1]);
			if (read(go[0], &byte, 1) == 1)
				execvp(argv[optind], argv + optind);
			_exit(127);
		}
	}
	if (capture__open(&o, &c, &err) || ring_map(c)) {
		fprintf(stderr, "ringdump: %s\n", err.text);
		return 1;
	}
	if (pid) {
		capture__add_pid(c, pid, SONDE_PID_IN);
		if (write(go[1], "", 1) != 1)
			return 1;
	}
	usleep(naps * 1000);
	for (ret = 0; pid ? ret != pid : true; ret = pid ? waitpid(pid, &status, WNOHANG) : 0) {
		struct pollfd fds[] = { { capture__proc_fd(c), POLLIN, 0 } };

		poll(fds, 1, 2);
		capture__poll_procs(c, on_proc, NULL);
		consume();
		if (demote && capture__check_misses(c, &err))
			printf("%s\n", err.text);
		if (!quiet)
			fflush(stdout);
	}
	usleep(50000);
	capture__poll_procs(c, on_proc, NULL);
	consume();
	ret = report(c);
	capture__free(c);
	return ret;
}
