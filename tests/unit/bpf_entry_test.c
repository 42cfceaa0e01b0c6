// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel side itself, on helpers in miniature (bpf/bpf_helpers.h): what processors do to each
 * other is played through at every place where a program reads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Not all of what is included is used, and half of its pragmas are another compiler's. */
#pragma GCC diagnostic ignored "-Wparentheses"
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"

#ifndef __TARGET_ARCH_x86
#define __TARGET_ARCH_x86
#endif
/*
 * The kernel's own layouts do not matter to the programs; here, flavours have to lie on each other:
 * an iterator begins with the address that it points at, a tcp_sock with its sock.
 */
#define iov_offset                                                                                 \
	at;                                                                                        \
	unsigned long iov_offset
#define inet_conn room[64], inet_conn
#include "../../bpf/lib/kernel.h"
#undef inet_conn
#undef iov_offset

/* Constant to the programs, and set here. */
#define settings settings_of_probe
#include "../../bpf/lib/maps.h"
#undef settings
static struct sonde_settings settings = {
	.cpus = 1, .slots = 4, .slot_mask = 3, .ring_bytes = 65536
};

#include "../../bpf/lib/bypass.h"
#include "../../bpf/lib/unix_call.h"

#define ISN_RX 5000u
#define ISN_TX 9000u
#define REQUEST "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static struct task_struct task;
static struct pid task_pid;
static struct signal_struct task_signal;
static struct net net;
static struct proto proto;
static struct tcp_sock tp;
static struct sock *const sk = (struct sock *)&tp;
static struct msghdr msg;

/* A socket that was just accepted, and nothing known of it. */
static void accepted(void)
{
	memset(&tp, 0, sizeof(tp));
	sk->__sk_common.skc_family = SONDE_AF_INET;
	sk->__sk_common.skc_state = TCP_ESTABLISHED;
	sk->__sk_common.skc_num = 80;
	sk->__sk_common.skc_dport = 40000;
	sk->__sk_common.skc_net.net = &net;
	sk->__sk_common.skc_prot = &proto;
	sk->sk_protocol = KIPPROTO_TCP;
	sk->sk_sndbuf = 1 << 20;
	tp.copied_seq = tp.rcv_nxt = ISN_RX;
	tp.write_seq = tp.snd_una = ISN_TX;
}

static struct sonde_switches *switched(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&switches, &zero);
}

static int setup(void **state)
{
	(void)state;
	shim_reset();
	switched()->begun = 1;
	shim_meanwhile = NULL;
	shim.pid_tgid = 7ull << 32 | 7;
	shim.task = &task;
	task.start_boottime = 5;
	task.group_leader = &task;
	task.thread_pid = &task_pid;
	task.signal = &task_signal;
	proto.sock_is_readable = NULL;
	accepted();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	shim_reset();
	return 0;
}

/* ---- what TCP does ---- */

static void arrive(uint32_t bytes)
{
	tp.bytes_received += bytes;
	tp.rcv_nxt += bytes;
}

static void recv_enters(const char *at)
{
	msg.msg_iter =
		(struct iov_iter){ .at = (unsigned long)at, .count = 4096, .iter_type = ITER_UBUF };
	entry_recv(sk, &msg, 0);
}

/* The reader's copy of n bytes is done; taken: they leave the stream. */
static void recv_copies(uint32_t n, bool taken)
{
	msg.msg_iter.count -= n;
	msg.msg_iter.iov_offset += n;
	if (taken)
		tp.copied_seq += n;
	entry_recv_done(sk, (int)n);
}

static void send_all(const char *text)
{
	uint32_t n = (uint32_t)strlen(text);

	msg.msg_iter =
		(struct iov_iter){ .at = (unsigned long)text, .count = n, .iter_type = ITER_UBUF };
	entry_send(sk, &msg, n);
	tp.write_seq += n;
}

/* ---- what came of it ---- */

static const struct sonde_rec *record(unsigned int type, unsigned int nth)
{
	for (struct shim_record *r = shim.first; r; r = r->next) {
		const struct sonde_rec *rec = (const void *)r->data;

		if (r->ring == &ring && rec->type == type && !nth--)
			return rec;
	}
	return NULL;
}

/* One request was seen from the connection's first byte on, and every byte is accounted for. */
static void assert_whole_request(void)
{
	const struct sonde_rec_conn *conn = (const void *)record(SONDE_REC_CONN, 0);
	const struct sonde_rec_data *data = (const void *)record(SONDE_REC_DATA, 0);
	const struct sonde_kcounters *k = counters();

	assert_non_null(conn);
	assert_true(conn->from_start);
	assert_int_equal(conn->rx_base, ISN_RX);
	assert_int_equal(conn->tx_base, ISN_TX);
	assert_int_equal(conn->rx_offset, 0);
	assert_int_equal(conn->role, SONDE_ROLE_PASSIVE);
	assert_non_null(data);
	assert_null(record(SONDE_REC_DATA, 1));
	assert_int_equal(data->h.flags & (SONDE_F_START | SONDE_F_TURN_START | SONDE_F_BEGUN),
			 SONDE_F_START | SONDE_F_TURN_START | SONDE_F_BEGUN);
	assert_int_equal(data->offset, 0);
	assert_int_equal(data->copied, strlen(REQUEST));
	assert_memory_equal(data->payload, REQUEST, strlen(REQUEST));
	assert_int_equal(k->turns_begun, 1);
	assert_int_equal(k->conns_seen, 1);
	assert_int_equal(k->conns_joined, 0);
	assert_int_equal(k->state_conn_stale, 0);
	assert_int_equal(k->bytes_sequence, strlen(REQUEST));
	assert_int_equal(k->bytes_captured, strlen(REQUEST));
}

/* A segment that another processor receives: under the lock, in two writes, at these two reads. */
static struct {
	unsigned int reads, first, second, bytes;
	bool begun, done;
} segment;

static void segment_steps(void)
{
	if (!segment.begun && segment.reads >= segment.first) {
		segment.begun = true;
		sk->sk_lock.slock.rlock.raw_lock.val.counter = 1;
		tp.bytes_received += segment.bytes;
	}
	if (segment.begun && !segment.done && segment.reads >= segment.second) {
		segment.done = true;
		tp.rcv_nxt += segment.bytes;
		sk->sk_lock.slock.rlock.raw_lock.val.counter = 0;
	}
	segment.reads++;
}

static void segment_set(unsigned int first, unsigned int second, unsigned int bytes)
{
	memset(&segment, 0, sizeof(segment));
	segment.first = first;
	segment.second = second;
	segment.bytes = bytes;
	shim_meanwhile = segment_steps;
}

static void segment_ends(void)
{
	shim_meanwhile = NULL;
	segment.reads = ~0u;
	segment_steps();
}

#define READS_MAX 40

/* The defect: a connection that was learned in the middle of a segment lost its first request. */
static void test_segment_arrives_at_entry(void **state)
{
	for (unsigned int first = 0; first < READS_MAX; first++) {
		for (unsigned int second = first; second < READS_MAX; second++) {
			setup(state);
			segment_set(first, second, strlen(REQUEST));
			recv_enters(REQUEST);
			segment_ends();
			recv_copies(strlen(REQUEST), true);
			assert_whole_request();
		}
	}
}

/* The reader sleeps first: tcp_cleanup_rbuf() is called before, with nothing copied. */
static void test_reader_sleeps(void **state)
{
	(void)state;
	recv_enters(REQUEST);
	recv_copies(0, false);
	assert_null(record(SONDE_REC_CONN, 0));
	arrive(strlen(REQUEST));
	recv_copies(strlen(REQUEST), true);
	assert_whole_request();
}

/* What is only peeked at was not read, on a connection that is new, too. */
static void test_peek_on_a_new_connection(void **state)
{
	(void)state;
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), false);
	assert_null(record(SONDE_REC_DATA, 0));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	assert_whole_request();
}

/* Two threads enter; the one that gets the lock first takes all. */
static void test_two_readers(void **state)
{
	(void)state;
	recv_enters(REQUEST);
	shim.pid_tgid = 7ull << 32 | 8;
	recv_enters(REQUEST);
	arrive(strlen(REQUEST));
	recv_copies(strlen(REQUEST), true);
	shim.pid_tgid = 7ull << 32 | 7;
	entry_recv_done(sk, 0);
	assert_whole_request();
}

/* The end of a connection was missed, and its address is another's: both are whole. */
static void test_address_used_again(void **state)
{
	const struct sonde_rec_gone *gone;
	const struct sonde_rec_conn *conn;

	(void)state;
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	send_all(RESPONSE);
	accepted();
	sk->__sk_common.skc_dport = 40001;
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);

	assert_int_equal(counters()->state_conn_stale, 1);
	assert_int_equal(counters()->turns_begun, 2);
	assert_int_equal(counters()->conns_joined, 0);
	gone = (const void *)record(SONDE_REC_GONE, 0);
	assert_non_null(gone);
	assert_int_equal(gone->tx_offset, strlen(RESPONSE));
	conn = (const void *)record(SONDE_REC_CONN, 1);
	assert_non_null(conn);
	assert_true(conn->from_start);
	assert_true(conn->h.conn != gone->h.conn);
}

/* Hits that this kernel misses (fentry, where it is preemptible) are bytes in a gap. */
static void test_first_read_missed(void **state)
{
	const struct sonde_rec_conn *conn;

	(void)state;
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	tp.copied_seq += strlen(REQUEST);
	send_all(RESPONSE);
	conn = (const void *)record(SONDE_REC_CONN, 0);
	assert_non_null(conn);
	assert_true(conn->from_start);
	life_destroy_sock(sk);
	assert_int_equal(counters()->conns_joined, 0);
	assert_int_equal(counters()->gap_missed, strlen(REQUEST));
	assert_int_equal(counters()->bytes_sequence, strlen(REQUEST) + strlen(RESPONSE));
}

static void test_first_write_missed(void **state)
{
	(void)state;
	tp.write_seq = tp.snd_una = 0;
	life_set_state(sk, TCP_CLOSE, TCP_SYN_SENT);
	tp.write_seq = ISN_TX; /* after its SYN, */
	tp.snd_una = ISN_TX;   /* which was answered */
	tp.bytes_acked = 1;
	tp.write_seq += strlen(REQUEST);
	arrive(strlen(RESPONSE));
	recv_enters(RESPONSE);
	recv_copies(strlen(RESPONSE), true);
	life_destroy_sock(sk);
	assert_int_equal(counters()->conns_joined, 0);
	assert_int_equal(counters()->gap_missed, strlen(REQUEST));
	assert_int_equal(counters()->bytes_sequence, strlen(REQUEST) + strlen(RESPONSE));
}

/* A connection that is older says so, and is counted. */
static void test_met_in_mid_life(void **state)
{
	const struct sonde_rec_conn *conn;

	(void)state;
	arrive(1000);
	tp.copied_seq += 1000;
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	conn = (const void *)record(SONDE_REC_CONN, 0);
	assert_non_null(conn);
	assert_false(conn->from_start);
	assert_int_equal(conn->rx_offset, 1000);
	assert_int_equal(counters()->conns_joined, 1);
	assert_int_equal(counters()->bytes_sequence, strlen(REQUEST));
}

/* Without the lock (the socket tracepoints): never numbers of two moments, or it is counted. */
static void test_numbers_without_the_lock(void **state)
{
	for (unsigned int first = 0; first < READS_MAX; first++) {
		for (unsigned int second = first; second < 3 * READS_MAX; second++) {
			struct sonde_kcounters *k;
			struct tcp_now now;

			setup(state);
			k = counters();
			arrive(50);
			segment_set(first, second, 70);
			assert_true(tcp_now_settled(k, sk, &now));
			if (!k->state_conn_unsettled)
				assert_int_equal(now.rcv_nxt - (uint32_t)now.received, ISN_RX);
		}
	}
	/* nobody interferes: at once */
	setup(state);
	segment.reads = 0;
	segment_set(~0u, ~0u, 0);
	{
		struct tcp_now now;

		assert_true(tcp_now_settled(counters(), sk, &now));
		assert_true(segment.reads < READS_MAX);
	}
	assert_int_equal(counters()->state_conn_unsettled, 0);
}

/* What sits on top of TCP is told by its name; none of its bytes is taken for the program's. */
static void test_layers(void **state)
{
	static const struct {
		struct tcp_ulp_ops ops;
		uint64_t tls, mptcp, other;
	} layers[] = {
		{ { "tls" }, 2, 0, 0 },
		{ { "mptcp" }, 0, 2, 0 },
		{ { "espintcp" }, 0, 0, 2 },
	};

	for (size_t i = 0; i < sizeof(layers) / sizeof(layers[0]); i++) {
		struct sonde_kcounters *k;

		setup(state);
		k = counters();
		tp.inet_conn.icsk_ulp_ops = &layers[i].ops;
		send_all(REQUEST);
		arrive(strlen(RESPONSE));
		recv_enters(RESPONSE);
		recv_copies(0, false); /* before it sleeps: carries nothing */
		recv_copies(strlen(RESPONSE), true);
		send_all("");
		tp.write_seq += 5; /* where no hook is */
		life_destroy_sock(sk);
		assert_int_equal(k->unseen_ktls, layers[i].tls);
		assert_int_equal(k->unseen_mptcp, layers[i].mptcp);
		assert_int_equal(k->unseen_ulp, layers[i].other);
		assert_null(record(SONDE_REC_DATA, 0));
		assert_int_equal(k->bytes_sequence, strlen(REQUEST) + strlen(RESPONSE) + 5);
		assert_int_equal(k->bytes_counted, k->bytes_sequence);
	}
}

/* A socket that is in a sockmap, and no more than that, is one like any other. */
static void test_sockmap_member(void **state)
{
	(void)state;
	proto.sock_is_readable = (bool (*)(struct sock *))(uintptr_t)setup;
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	assert_whole_request();
	/* what its program has passed comes from pages of the kernel's */
	msg.msg_iter = (struct iov_iter){ .count = 10, .iter_type = ITER_BVEC };
	entry_send(sk, &msg, 10);
	assert_int_equal(counters()->unseen_sockmap, 1);
	assert_int_equal(counters()->unseen_no_user_buffer, 0);
}

/* From the first redirected byte on nothing of the connection is taken, and what is open is given up. */
static void test_sockmap_redirects(void **state)
{
	struct sk_psock psock = { .ingress_msg.next = &psock.ingress_msg };
	struct list_head queued;
	struct sk_msg redirected = { .sk = sk };
	struct sonde_kcounters *k = counters();
	struct sock other = *sk;

	(void)state;
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	bypass_queue(sk, &psock, 0); /* about to sleep */
	assert_int_equal(k->unseen_sockmap, 0);
	assert_null(record(SONDE_REC_GONE, 0));
	bypass_redirect(&other, &redirected);
	assert_int_equal(k->unseen_sockmap, 1);
	assert_non_null(record(SONDE_REC_GONE, 0));
	assert_int_equal(record(SONDE_REC_GONE, 0)->flags, SONDE_F_UNSEEN);
	psock.ingress_msg.next = &queued;
	bypass_queue(sk, &psock, KMSG_PEEK);
	assert_int_equal(k->unseen_sockmap, 1);
	bypass_queue(sk, &psock, 0);
	assert_int_equal(k->unseen_sockmap, 2);
	assert_null(record(SONDE_REC_GONE, 1));

	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	send_all(RESPONSE);
	life_destroy_sock(sk);
	assert_int_equal(k->unseen_sockmap, 4);
	assert_null(record(SONDE_REC_DATA, 1));
	assert_int_equal(k->bytes_captured, strlen(REQUEST));
	assert_int_equal(k->bytes_counted, strlen(REQUEST) + strlen(RESPONSE));
	assert_int_equal(k->bytes_sequence, k->bytes_captured + k->bytes_counted);
}

static void one_exchange(void)
{
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	send_all(RESPONSE);
}

static unsigned int data_records(void)
{
	unsigned int n = 0;

	while (record(SONDE_REC_DATA, n))
		n++;
	return n;
}

/* The governor's wish counts from a request on and to a request: no exchange is seen by half. */
static void test_connection_is_shed(void **state)
{
	struct sonde_slot *slot = NULL;

	(void)state;
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	for (__u32 i = 0; i < 4 && (!slot || !slot->conn); i++)
		slot = bpf_map_lookup_elem(&slots, &i);
	assert_non_null(slot);
	slot->wish = SONDE_WISH_SHED;
	send_all(RESPONSE);
	assert_int_equal(data_records(), 2);
	one_exchange();
	one_exchange();
	assert_int_equal(data_records(), 2);
	assert_int_equal(counters()->shed_exchanges, 2);
	assert_int_equal(counters()->turns_begun, 1);
	arrive(strlen(REQUEST));
	recv_enters(REQUEST);
	recv_copies(strlen(REQUEST), true);
	slot->wish = 0;
	send_all(RESPONSE);
	assert_int_equal(data_records(), 2);
	one_exchange();
	assert_int_equal(data_records(), 4);
	assert_int_equal(counters()->shed_exchanges, 3);
	assert_int_equal(counters()->turns_begun, 2);
	/* All of it was seen and counted; what was written last is settled by the next call. */
	assert_int_equal(counters()->gap_missed, 0);
	assert_int_equal(counters()->bytes_sequence,
			 counters()->bytes_captured + counters()->bytes_counted);
}

/* A ping-pong of no protocol: after so many turns none of its bytes is looked at, and all are counted. */
static void test_no_protocol_is_quiet(void **state)
{
	const struct sonde_kcounters *k = counters();
	const uint64_t more = 5ull << 30;
	uint64_t hits;

	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		arrive(4);
		recv_enters("ping");
		recv_copies(4, true);
		send_all("pong");
	}
	assert_int_equal(k->conns_other, 1);
	assert_true(k->hits_quiet > 200);
	hits = k->hits_send + k->hits_recv;
	assert_true(hits < 200);
	/* What nobody saw is no gap here, and more of it than sequence numbers tell apart. */
	tp.bytes_received += more;
	tp.rcv_nxt += (uint32_t)more;
	tp.copied_seq += (uint32_t)more;
	tp.bytes_acked += 200 * 4;
	tp.snd_una += 200 * 4;
	life_destroy_sock(sk);
	assert_int_equal(k->bytes_sequence, 200 * 8 + more);
	assert_int_equal(k->bytes_counted, 200 * 8 + more);
	assert_int_equal(k->gap_missed, 0);
	assert_int_equal(k->hits_send + k->hits_recv, hits);
	assert_int_equal(data_records(), 0);
	assert_non_null(record(SONDE_REC_GONE, 0));
}

/* Another connection at the address of one that was quiet, whose end nobody saw, is none. */
static void test_quiet_address_used_again(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 200; i++) {
		arrive(4);
		recv_enters("ping");
		recv_copies(4, true);
		send_all("pong");
	}
	accepted();
	sk->__sk_common.skc_dport = 40001;
	one_exchange();
	assert_int_equal(counters()->state_conn_stale, 1);
	assert_int_equal(data_records(), 2);
}

static void read_long_head(const char *head, uint32_t n)
{
	arrive(n);
	recv_enters(head);
	recv_copies(n, true);
}

/* Of a long head its first KiB, and that more of it is not to be waited for. */
static void test_head_is_shed(void **state)
{
	static char head[3000] = "GET /a HTTP/1.1\r\nX: ";
	struct sonde_switches *sw = switched();
	const struct sonde_rec_data *data;

	(void)state;
	memset(head + strlen(head), 'x', sizeof(head) - strlen(head) - 4);
	memcpy(head + sizeof(head) - 4, "\r\n\r\n", 4);
	sw->shed_heads = 1;
	read_long_head(head, sizeof(head));
	data = (const void *)record(SONDE_REC_DATA, 0);
	assert_non_null(data);
	assert_null(record(SONDE_REC_DATA, 1));
	assert_int_equal(data->copied, SONDE_CLASS_3_BYTES);
	assert_int_equal(data->call_bytes, sizeof(head));
	assert_true(data->h.flags & SONDE_F_FAULT);
	assert_int_equal(counters()->shed_heads, 1);
	assert_int_equal(counters()->bytes_captured, SONDE_CLASS_3_BYTES);
	send_all(RESPONSE);
	data = (const void *)record(SONDE_REC_DATA, 1);
	assert_false(data->h.flags & SONDE_F_FAULT);
	/* Not any more: the next one is whole. */
	sw->shed_heads = 0;
	read_long_head(head, sizeof(head));
	assert_int_equal(counters()->shed_heads, 1);
	assert_int_equal(((const struct sonde_rec_data *)record(SONDE_REC_DATA, 3))->offset,
			 sizeof(head) + SONDE_CLASS_3_BYTES);
}

/* ---- heads that are usual, and others ---- */

#define HEAD "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"

static void send_segments(struct iovec *segments, unsigned int n)
{
	unsigned long bytes = 0;

	for (unsigned int i = 0; i < n; i++)
		bytes += segments[i].iov_len;
	msg.msg_iter = (struct iov_iter){
		.at = (unsigned long)segments, .count = bytes, .nr_segs = n, .iter_type = ITER_IOVEC
	};
	entry_send(sk, &msg, bytes);
	tp.write_seq += (uint32_t)bytes;
}

static void request_is_read(const char *text)
{
	arrive((uint32_t)strlen(text));
	recv_enters(text);
	recv_copies((uint32_t)strlen(text), true);
}

static const struct sonde_rec_more *more_of(const struct sonde_rec_data *data)
{
	return (const void *)((const char *)data + data->h.bytes - sizeof(struct sonde_rec_more));
}

/* The record says the same of this head as of the one before it in its direction. */
static void assert_same_head(unsigned int nth, const char *head, uint32_t call_bytes)
{
	const struct sonde_rec_data *data = (const void *)record(SONDE_REC_DATA, nth);
	const struct sonde_rec_data *other = (const void *)record(SONDE_REC_DATA, nth - 1);
	const struct sonde_rec_data *before = (const void *)record(SONDE_REC_DATA, nth - 2);

	assert_non_null(data);
	assert_int_equal(data->h.flags & ~SONDE_F_MORE, before->h.flags & ~SONDE_F_MORE);
	assert_true(data->h.flags & SONDE_F_HEAD_END);
	assert_int_equal(data->turn, before->turn + 2);
	assert_int_equal(data->offset, before->offset + before->call_bytes);
	assert_int_equal(data->call_bytes, call_bytes);
	assert_int_equal(data->piece, 0);
	assert_int_equal(data->copied, strlen(head));
	assert_memory_equal(data->payload, head, strlen(head));
	assert_int_equal(data->other_low, other->offset + other->call_bytes);
	/* the rest was told by the record before it */
	assert_false(data->h.flags & SONDE_F_MORE);
	assert_int_equal(data->h.bytes - sizeof(*data), (strlen(head) + 23) / 24 * 24);
}

/* The first exchange of a connection is looked at closely, and the next ones once: all the same. */
static void test_usual_heads(void **state)
{
	struct iovec v[2] = { { (void *)HEAD, strlen(HEAD) }, { (void *)"hello", 5 } };
	const struct sonde_kcounters *k = counters();
	const struct sonde_rec_data *data;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		request_is_read(REQUEST);
		send_segments(v, 2);
		if (!i) {
			data = (const void *)record(SONDE_REC_DATA, 1);
			assert_true(data->h.flags & SONDE_F_MORE);
			assert_int_equal(more_of(data)->other_offset, strlen(REQUEST));
			assert_int_equal(more_of(data)->other_ns, record(SONDE_REC_DATA, 0)->ns);
			continue;
		}
		assert_same_head(2 * i, REQUEST, strlen(REQUEST));
		assert_same_head(2 * i + 1, HEAD, strlen(HEAD) + 5);
	}
	entry_recv_done(sk, 0);
	assert_null(record(SONDE_REC_DATA, 6));
	assert_int_equal(k->turns_begun, 3);
	assert_int_equal(k->records_attempted, k->records_delivered);
	assert_int_equal(k->bytes_sequence, 3 * (strlen(REQUEST) + strlen(HEAD) + 5));
	assert_int_equal(k->bytes_counted, 3 * 5);
	assert_int_equal(k->bytes_captured, 3 * (strlen(REQUEST) + strlen(HEAD)));
}

/* Bytes of a body that is known to go on are counted; those that end it are told. */
static void test_known_body(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n";
	const struct sonde_rec_conn *conn;
	const struct sonde_rec_end *end;
	const struct sonde_kcounters *k = counters();
	struct sonde_slot *slot;

	(void)state;
	request_is_read(REQUEST);
	send_all(head);
	conn = (const void *)record(SONDE_REC_CONN, 0);
	slot = bpf_map_lookup_elem(&slots, &conn->slot);
	assert_non_null(slot);
	slot->watermark_tx = strlen(head) + 40;
	/* What would be a head elsewhere is none in a body. */
	send_all("HTTP/1.1 200 OK\r\n\r\n");
	assert_int_equal(slot->tx_offset, strlen(head) + 19);
	assert_null(record(SONDE_REC_END, 0));
	send_all("of the body's forty, the last");
	end = (const void *)record(SONDE_REC_END, 0);
	assert_non_null(end);
	assert_int_equal(end->offset, strlen(head) + 19 + 29);
	entry_recv_done(sk, 0);
	assert_null(record(SONDE_REC_DATA, 2));
	assert_int_equal(k->hits_send, 3);
	assert_int_equal(k->bytes_captured, strlen(REQUEST) + strlen(head));
	assert_int_equal(k->bytes_counted, 19 + 29);
	assert_int_equal(k->bytes_sequence, k->bytes_captured + k->bytes_counted);
	assert_int_equal(k->gap_missed, 0);
}

/* Whatever processes share a cell, each is found for what it is, and gone once it is dropped. */
static void test_scope_cells(void **state)
{
	const uint32_t one = 7, two = one + SONDE_SCOPE_CELLS, three = two + SONDE_SCOPE_CELLS;

	(void)state;
	settings.scope = SONDE_SCOPE_PIDS;
	assert_false(scope_has(sk, one));
	assert_true(scope_put(one));
	assert_true(scope_put(one));
	assert_true(scope_has(sk, one));
	assert_false(scope_has(sk, two));
	assert_true(scope_put(two));
	assert_true(scope_has(sk, one));
	assert_true(scope_has(sk, two));
	assert_false(scope_has(sk, three));
	scope_drop(one);
	scope_drop(one);
	scope_drop(three);
	assert_false(scope_has(sk, one));
	assert_true(scope_has(sk, two));
	scope_drop(two);
	assert_false(scope_has(sk, two));
	assert_int_equal(*scope_cell(one), 0);
	settings.scope = 0;
	assert_true(scope_has(sk, one));
}

/* While probe looks whether its programs fire nobody else counts, though no filter is set. */
static void test_scope_begins(void **state)
{
	const uint32_t own = 7, other = 8;

	(void)state;
	switched()->begun = 0;
	assert_true(scope_put(own));
	assert_true(scope_has(sk, own));
	assert_false(scope_has(sk, other));
	switched()->begun = 1;
	assert_true(scope_has(sk, other));
}

/* What is begun as a usual head and is none leaves nothing behind; and the next one may be one again. */
static void test_unusual_heads(void **state)
{
	static const char two[] = HEAD "12345";
	struct iovec v[2] = { { (void *)HEAD, strlen(HEAD) }, { (void *)RESPONSE, 0 } };
	struct iovec pieces[3] = { { (void *)HEAD, 20 },
				   { (char *)HEAD + 20, strlen(HEAD) - 20 },
				   { (void *)"12345", 5 } };
	const struct sonde_kcounters *k = counters();
	const struct sonde_rec_data *data;

	(void)state;
	v[1].iov_len = strlen(RESPONSE);
	for (unsigned int i = 0; i < 2; i++) {
		request_is_read(REQUEST);
		send_all(two);
	}
	data = (const void *)record(SONDE_REC_DATA, 3);
	assert_int_equal(data->copied, strlen(two));
	assert_memory_equal(data->payload, two, strlen(two));
	/* another head behind the first one: both are told */
	request_is_read(REQUEST);
	send_segments(v, 2);
	data = (const void *)record(SONDE_REC_DATA, 5);
	assert_int_equal(data->copied, strlen(HEAD) + strlen(RESPONSE));
	assert_memory_equal(data->payload + strlen(HEAD), RESPONSE, strlen(RESPONSE));
	/* a head in two pieces */
	request_is_read(REQUEST);
	send_segments(pieces, 3);
	data = (const void *)record(SONDE_REC_DATA, 7);
	assert_int_equal(data->copied, strlen(two));
	assert_memory_equal(data->payload, two, strlen(two));
	assert_true(data->h.flags & SONDE_F_HEAD_END);
	entry_recv_done(sk, 0);
	assert_null(record(SONDE_REC_DATA, 8));
	assert_int_equal(k->records_attempted, k->records_delivered);
	assert_int_equal(k->bytes_sequence, k->bytes_captured + k->bytes_counted);
	assert_int_equal(k->turns_begun, 4);
	assert_int_equal(k->conns_http1, 1);
}

/* A response's head, in n segments as equal as they come. */
static void send_cut(const char *head, unsigned int n)
{
	struct iovec v[128];
	size_t len = strlen(head);

	for (unsigned int i = 0; i < n; i++) {
		v[i].iov_base = (char *)head + len * i / n;
		v[i].iov_len = len * (i + 1) / n - len * i / n;
	}
	send_segments(v, n);
}

/* One in more segments than a record gathers is in as many records as it takes; in far too many, that is said. */
static void test_head_in_many_segments(void **state)
{
	const unsigned int cuts[] = { SONDE_SEGMENTS_MAX, SONDE_SEGMENTS_MAX + 1, 100,
				      5 * SONDE_SEGMENTS_MAX };
	const struct sonde_kcounters *k = counters();
	unsigned int seen = 0;
	char head[1600];

	(void)state;
	memset(head, 'x', sizeof(head));
	memcpy(head, HEAD, strlen(HEAD) - 2);
	memcpy(head + strlen(HEAD) - 2, "A: ", 3);
	strcpy(head + sizeof(head) - 5, "\r\n\r\n");
	for (unsigned int i = 0; i < 4; i++) {
		const struct sonde_rec_data *data;
		uint32_t at = 0;

		request_is_read(REQUEST);
		send_cut(head, cuts[i]);
		for (seen++; (data = (const void *)record(SONDE_REC_DATA, seen)); seen++) {
			assert_memory_equal(data->payload, head + at, data->copied);
			at += data->copied;
		}
		assert_int_equal(at, strlen(head));
		assert_true(
			((const struct sonde_rec_data *)record(SONDE_REC_DATA, seen - 1))->h.flags &
			SONDE_F_HEAD_END);
	}
	assert_int_equal(k->lost_fault, 0);
	assert_int_equal(k->bytes_sequence, k->bytes_captured + k->bytes_counted);
	request_is_read(REQUEST);
	send_cut(head, 5 * SONDE_SEGMENTS_MAX + 1);
	assert_int_equal(k->lost_fault, 1);
	assert_int_equal(k->records_attempted, k->records_delivered + 1);
	request_is_read(REQUEST);
	assert_int_equal(k->bytes_sequence, k->bytes_captured + k->bytes_counted + k->gap_lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_segment_arrives_at_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_sleeps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peek_on_a_new_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_readers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_read_missed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_write_missed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_met_in_mid_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers_without_the_lock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connection_is_shed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_protocol_is_quiet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiet_address_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_head_is_shed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sockmap_member, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sockmap_redirects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_usual_heads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_known_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unusual_heads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_head_in_many_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scope_cells, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scope_begins, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
