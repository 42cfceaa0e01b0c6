// SPDX-License-Identifier: Apache-2.0
#include "trace/role.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/engine.h"
#include "core/frame.h"
#include "supervise/control.h"
#include "supervise/frames.h"
#include "supervise/sandbox.h"
#include "trace/record_file.h"
#include "trace/ring.h"

/* The reader is told of so much at once, or of what there is when nothing else is to be done. */
#define PUBLISH_BYTES (FRAMES_BYTES / 4)
/* Where the reader was woken less than BUSY_NS ago, it is woken for so much, or when these are over. */
#define WAKE_BYTES (FRAMES_BYTES / 2)
/* What waits for a reader that does not read; beyond it frames are refused and counted. */
#define BACKLOG_BYTES (5 << 20)
/* Records taken between two looks at the clock. */
#define BATCH_RECORDS 256
/* With traffic we look by ourselves this often and are woken only by this many bytes. */
#define BUSY_NS 20000000
/* How long after the last record it still counts as traffic. */
#define TRAFFIC_NS 200000000
/* How often probe is told that there is some. */
#define TRAFFIC_SAID_NS 1000000000
#define SLOT_WANTS_MAX 1024
#define RECORD_BUFFER_BYTES (1 << 18)

struct slot_want {
	uint32_t slot;
	uint64_t conn;
};

struct trace {
	struct trace_settings settings;
	struct buf host_attributes;
	struct engine *engine;
	struct account *account;
	struct ring ring;
	struct sonde_slot *slots;
	volatile struct sonde_switches *switches;
	int epoll;
	struct frames frames;
	unsigned int put_spans; /* put and not published */
	bool unwoken;		/* something is published for which the reader was not woken yet */
	uint64_t woke_ns;	/* when it was, last */
	struct buf backlog;	/* frames for which there was no room */
	struct buf message;	/* the message being made */
	struct buf record;	/* messages not yet written to FD_RECORD */
	struct slot_want wants[SLOT_WANTS_MAX];
	unsigned int n_wants;
	unsigned int shed_step; /* what of account.governor.step is in force */
	bool recording, record_failed, finish;
	uint64_t now_ns; /* when the clock was read last: once a batch of records, once a waking */
	uint64_t last_record_ns, said_traffic_ns, control_ns;
	uint8_t bytes[SONDE_RECORD_MAX_BYTES] __attribute__((aligned(8)));
};

/* What the reader has not taken in time goes before what is new. */
static void put_backlog(struct trace *trace)
{
	struct buf *b = &trace->backlog;
	struct frame_header header;
	const uint8_t *body;
	size_t done = 0;
	long n;

	while ((n = frame__next(b->at + done, b->len - done, &header, &body)) > 0 &&
	       frames__put(&trace->frames, b->at + done, (size_t)n)) {
		trace->put_spans += header.type == FRAME_SPAN;
		done += (size_t)n;
	}
	buf__consume(b, done);
}

/* To be woken costs as much as a dozen spans: for a few it waits until there are more. */
static void wake_reader(struct trace *trace)
{
	if (trace->now_ns - trace->woke_ns < BUSY_NS &&
	    frames__waiting(&trace->frames) < WAKE_BYTES)
		return;
	trace->unwoken = false;
	trace->woke_ns = trace->now_ns;
	/* Full: then there is something to wake it already. */
	if (frames__wake(&trace->frames))
		send(FD_FRAMES, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_frames(struct trace *trace)
{
	if (trace->backlog.len)
		put_backlog(trace);
	trace->unwoken |= frames__publish(&trace->frames);
	if (trace->unwoken)
		wake_reader(trace);
	trace->account->trace.frames_waiting -= trace->put_spans;
	trace->put_spans = 0;
}

static int on_frame(void *arg, const void *bytes, size_t len)
{
	struct trace *trace = arg;
	const struct frame_header *header = bytes;
	bool span = header->type == FRAME_SPAN;

	if (frames__unpublished(&trace->frames) > PUBLISH_BYTES || trace->backlog.len)
		send_frames(trace);
	if (!trace->backlog.len && frames__put(&trace->frames, bytes, len)) {
		trace->put_spans += span;
	} else {
		/* Definitions are few and everything that follows needs them: they may pass the bound. */
		if (len > FRAMES_BYTES || (trace->backlog.len + len > BACKLOG_BYTES && span))
			return -EAGAIN;
		buf__add(&trace->backlog, bytes, len);
		if (trace->backlog.err)
			return trace->backlog.err;
	}
	trace->account->trace.frames_waiting += span;
	return 0;
}

static struct sonde_slot *slot_at(struct trace *trace, uint32_t index)
{
	return trace->slots && index < trace->settings.slots ? &trace->slots[index] : NULL;
}

static void on_watermark(void *arg, uint32_t index, uint64_t conn, bool tx, uint64_t offset)
{
	struct sonde_slot *slot = slot_at(arg, index);

	if (!slot || __atomic_load_n(&slot->conn, __ATOMIC_ACQUIRE) != conn)
		return;
	__atomic_store_n(tx ? &slot->watermark_tx : &slot->watermark_rx, offset, __ATOMIC_SEQ_CST);
}

static void on_wish(void *arg, uint32_t index, uint64_t conn, uint64_t wish)
{
	struct sonde_slot *slot = slot_at(arg, index);

	if (slot && __atomic_load_n(&slot->conn, __ATOMIC_ACQUIRE) == conn)
		__atomic_store_n(&slot->wish, wish, __ATOMIC_RELEASE);
}

static void on_want_slot(void *arg, uint32_t slot, uint64_t conn)
{
	struct trace *trace = arg;

	if (trace->n_wants < SLOT_WANTS_MAX)
		trace->wants[trace->n_wants++] = (struct slot_want){ slot, conn };
}

static void on_want_process(void *arg, uint32_t tgid, uint64_t start_ns)
{
	struct trace *trace = arg;
	struct control_want want = { .tgid_start_ns = start_ns, .tgid = tgid };

	if (trace->settings.source != SOURCE_FILE)
		control__send(FD_CONTROL, CONTROL_WANT_PROCESS, &want, sizeof(want));
}

static void write_record(struct trace *trace)
{
	size_t done = 0;

	while (done < trace->record.len && !trace->record_failed) {
		ssize_t n = write(FD_RECORD, trace->record.at + done, trace->record.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			log_error("cannot write the record file: %s; the recording ends here, "
				  "tracing goes on",
				  strerror(errno));
			trace->record_failed = true;
			break;
		}
		done += (size_t)n;
	}
	buf__clear(&trace->record);
}

/* The one way into the core: what is fed is what is recorded. */
static void feed(struct trace *trace, enum message_type type, const void *bytes, size_t len)
{
	if (trace->recording) {
		frame__add(&trace->record, (enum frame_type)type, bytes, len, NULL, 0);
		if (trace->record.len >= RECORD_BUFFER_BYTES)
			write_record(trace);
	}
	engine__feed(trace->engine, type, bytes, len);
}

static void feed_clock(struct trace *trace)
{
	struct message_clock clock = { .now_ns = clock__boot_ns() };

	trace->now_ns = clock.now_ns;
	clock.epoch_offset_ns = (int64_t)(clock__epoch_ns() - clock.now_ns);
	feed(trace, MSG_CLOCK, &clock, sizeof(clock));
}

/* A slot's fields are written by hooks on other processors: read until the end agrees with the start. */
static bool read_slot(const struct sonde_slot *slot, uint64_t conn, struct sonde_slot *ret)
{
	for (int tries = 0; tries < 8; tries++) {
		struct sonde_slot a, b;

		memcpy(&a, (const void *)slot, sizeof(a));
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		memcpy(&b, (const void *)slot, sizeof(b));
		if (a.conn != conn)
			return false;
		if (!memcmp(&a, &b, sizeof(a))) {
			*ret = a;
			return true;
		}
	}
	return false;
}

static void feed_slots(struct trace *trace)
{
	/* Feeding one may ask for others: those wait for the next round. */
	unsigned int n = trace->n_wants;

	for (unsigned int i = 0; i < n; i++) {
		struct message_slot message = { .index = trace->wants[i].slot };
		struct sonde_slot *slot = slot_at(trace, message.index);

		if (slot && read_slot(slot, trace->wants[i].conn, &message.slot))
			feed(trace, MSG_SLOT, &message, sizeof(message));
	}
	memmove(trace->wants, trace->wants + n, (trace->n_wants - n) * sizeof(trace->wants[0]));
	trace->n_wants -= n;
}

/*
 * Counted between taking a record and giving its room back: whoever comes after us if we are killed
 * neither misses nor repeats it in the account.
 */
static void count_taken(struct trace *trace, size_t len)
{
	const struct sonde_rec *record = (const struct sonde_rec *)trace->bytes;
	struct account_trace *account = &trace->account->trace;

	if (len <= sizeof(trace->bytes))
		account->begun_read += record__begun(record, len);
	account->records_read++;
	ring__pass(&trace->ring);
}

static unsigned int feed_records(struct trace *trace)
{
	unsigned int n = 0;
	size_t len;

	while (n < BATCH_RECORDS &&
	       ring__take(&trace->ring, trace->bytes, sizeof(trace->bytes), &len)) {
		n++;
		count_taken(trace, len);
		if (len > sizeof(trace->bytes)) {
			trace->account->trace.records_bad++;
			continue;
		}
		if (n == 1)
			feed_clock(trace);
		feed(trace, MSG_RECORD, trace->bytes, len);
		/* At once: until its end is known, a request is a candidate for all that its thread does. */
		if (trace->n_wants)
			feed_slots(trace);
	}
	return n;
}

static void on_control(struct trace *trace)
{
	static uint8_t body[CONTROL_MAX_BYTES];
	enum control_type type;
	long len;

	trace->control_ns = trace->now_ns;
	while ((len = control__receive(FD_CONTROL, &type, body, sizeof(body))) >= 0) {
		if (type == CONTROL_PROCESS)
			feed(trace, MSG_PROCESS, body, (size_t)len);
		else if (type == CONTROL_FINISH)
			trace->finish = true;
		else if (type == CONTROL_RESEND)
			engine__resend_definitions(trace->engine);
	}
	if (len == -EPIPE)
		trace->finish = true; /* probe is gone: nobody needs us */
}

/* How long to sleep: until the engine's next timer, and not long while there is traffic. */
static int sleep_ms(struct trace *trace, uint64_t now)
{
	uint64_t timer = engine__next_timer(trace->engine), wait = UINT64_MAX;

	if (timer)
		wait = timer > now ? timer - now : 0;
	if (now - trace->last_record_ns < TRAFFIC_NS && wait > BUSY_NS)
		wait = BUSY_NS;
	if ((trace->backlog.len || trace->unwoken) && wait > BUSY_NS)
		wait = BUSY_NS;
	return wait == UINT64_MAX ? -1 : (int)((wait + 999999) / 1000000);
}

static void sleep_until_something(struct trace *trace)
{
	uint64_t now = trace->now_ns, timer = engine__next_timer(trace->engine);
	bool busy = now - trace->last_record_ns < TRAFFIC_NS;
	struct epoll_event events[4];
	int n;

	trace->switches->wake_bytes = busy ? (uint32_t)(trace->ring.bytes / 4) : 0;
	__atomic_store_n(&trace->switches->consumer_sleeps, 1, __ATOMIC_SEQ_CST);
	/* A record that came between our last look and the switch woke nobody. */
	if (ring__waiting(&trace->ring) > trace->switches->wake_bytes) {
		__atomic_store_n(&trace->switches->consumer_sleeps, 0, __ATOMIC_SEQ_CST);
		if (!trace->n_wants)
			return;
	}
	n = epoll_wait(trace->epoll, events, 4, trace->n_wants ? 0 : sleep_ms(trace, now));
	__atomic_store_n(&trace->switches->consumer_sleeps, 0, __ATOMIC_SEQ_CST);
	for (int i = 0; i < n; i++) {
		uint64_t woken;

		if (events[i].data.fd == FD_CONTROL)
			on_control(trace);
		else if (trace->settings.source == SOURCE_DRAIN && read(FD_RING, &woken, 8) < 0)
			continue; /* an eventfd: only its being readable matters */
	}
	trace->now_ns = clock__boot_ns();
	if (timer && trace->now_ns >= timer)
		feed_clock(trace);
}

/* probe looks for missed hits only while there are hits: it has no timer of its own. */
static void say_traffic(struct trace *trace)
{
	trace->last_record_ns = trace->now_ns;
	if (trace->said_traffic_ns && trace->now_ns - trace->said_traffic_ns < TRAFFIC_SAID_NS)
		return;
	trace->said_traffic_ns = trace->now_ns;
	control__send(FD_CONTROL, CONTROL_TRAFFIC, NULL, 0);
}

/* probe's governor says in shared memory what to shed: a new trace role knows it at once. */
static void follow_governor(struct trace *trace)
{
	unsigned int step =
		(unsigned int)__atomic_load_n(&trace->account->governor.step, __ATOMIC_RELAXED);

	if (step == trace->shed_step)
		return;
	trace->shed_step = step;
	trace->switches->shed_heads = governor__shed(step).level >= SHED_HEADS;
	engine__shed(trace->engine, step);
}

static void run_ring(struct trace *trace)
{
	trace->now_ns = clock__boot_ns();
	while (!trace->finish) {
		unsigned int n;

		follow_governor(trace);
		n = feed_records(trace);
		if (n)
			say_traffic(trace);
		/* Where there is time to sleep, epoll tells of it. */
		if (trace->now_ns - trace->control_ns >= BUSY_NS)
			on_control(trace);
		feed_slots(trace);
		send_frames(trace);
		if (!n)
			sleep_until_something(trace);
	}
	while (feed_records(trace))
		feed_slots(trace);
	feed_clock(trace);
	feed_slots(trace);
	feed(trace, MSG_END, NULL, 0);
}

static void run_file(struct trace *trace)
{
	struct buf in = { 0 };
	struct frame_header header;
	const uint8_t *body;
	ssize_t got = 1;

	while (got > 0 || in.len) {
		size_t used = 0;
		long n;

		while ((n = frame__next(in.at + used, in.len - used, &header, &body)) > 0) {
			engine__feed(trace->engine, (enum message_type)header.type, body,
				     header.length);
			used += (size_t)n;
			/* Nothing may be lost here: wait for ship. */
			while (trace->backlog.len) {
				send_frames(trace);
				if (trace->backlog.len)
					clock__sleep_ms(1);
			}
		}
		if (n < 0) {
			log_error("the record file is damaged after the messages before this "
				  "place: the rest is left out");
			break;
		}
		buf__consume(&in, used);
		if (got <= 0)
			break;
		if (!buf__reserve(&in, RECORD_BUFFER_BYTES))
			break;
		got = read(FD_RECORD, in.at + in.len, RECORD_BUFFER_BYTES);
		if (got > 0)
			in.len += (size_t)got;
	}
	if (in.len && got <= 0)
		log_warn("the record file ends in the middle of a message: it was not closed "
			 "properly");
	engine__feed(trace->engine, MSG_END, NULL, 0);
	buf__free(&in);
}

/* What is still there waits up to a few seconds for ship to take it. */
static void flush(struct trace *trace)
{
	uint64_t until = clock__boot_ns() + 5000000000u;

	if (trace->recording)
		write_record(trace);
	send_frames(trace);
	while (trace->backlog.len && clock__boot_ns() < until) {
		clock__sleep_ms(1);
		send_frames(trace);
	}
	shutdown(FD_FRAMES, SHUT_WR);
}

static int read_settings(struct trace *trace)
{
	uint8_t *at;

	if (read(FD_CONFIG, &trace->settings, sizeof(trace->settings)) != sizeof(trace->settings))
		return -EINVAL;
	at = buf__reserve(&trace->host_attributes, trace->settings.host_attributes_bytes + 1);
	if (!at)
		return -ENOMEM;
	if (read(FD_CONFIG, at, trace->settings.host_attributes_bytes) !=
	    (ssize_t)trace->settings.host_attributes_bytes)
		return -EINVAL;
	trace->host_attributes.len = trace->settings.host_attributes_bytes;
	return 0;
}

static int watch(struct trace *trace, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(trace->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* What the trace role before us had shed, nobody would look at again. */
static void forget_wishes(struct trace *trace)
{
	for (uint32_t i = 0; i < trace->settings.slots; i++)
		if (trace->slots[i].wish & SONDE_WISH_SHED)
			__atomic_store_n(&trace->slots[i].wish,
					 trace->slots[i].wish & ~(uint64_t)SONDE_WISH_SHED,
					 __ATOMIC_RELEASE);
	trace->switches->shed_heads = 0;
}

/* Everything that must be mapped or opened, before the sandbox closes. */
static int prepare(struct trace *trace)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at;
	int ret;

	ret = read_settings(trace);
	if (ret)
		return ret;
	at = mmap(NULL, sizeof(struct account), PROT_READ | PROT_WRITE, MAP_SHARED, FD_ACCOUNT, 0);
	if (at == MAP_FAILED)
		return -errno;
	trace->account = at;
	ret = frames__map(&trace->frames, FD_FRAMES_MEMORY, true);
	if (ret)
		return ret;
	trace->unwoken = true; /* for what one before us has published */
	trace->recording = trace->settings.recording;
	if (trace->settings.source == SOURCE_FILE)
		return 0;
	if (trace->settings.source == SOURCE_DRAIN)
		ret = ring__map_shared(&trace->ring, FD_DRAIN, trace->settings.ring_bytes);
	else
		ret = ring__map(&trace->ring, FD_RING, trace->settings.ring_bytes);
	if (ret)
		return ret;
	at = mmap(NULL,
		  (trace->settings.slots * sizeof(struct sonde_slot) + page - 1) & ~(page - 1),
		  PROT_READ | PROT_WRITE, MAP_SHARED, FD_SLOTS, 0);
	if (at == MAP_FAILED)
		return -errno;
	trace->slots = at;
	at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, FD_SWITCHES, 0);
	if (at == MAP_FAILED)
		return -errno;
	trace->switches = at;
	if (trace->switches->generation++)
		forget_wishes(trace);
	trace->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (trace->epoll < 0)
		return -errno;
	ret = watch(trace, FD_RING);
	return ret ? ret : watch(trace, FD_CONTROL);
}

int trace__main(uid_t uid)
{
	static struct trace trace;
	struct engine_config config;
	struct engine_out out = { .arg = &trace,
				  .frame = on_frame,
				  .watermark = on_watermark,
				  .wish = on_wish,
				  .want_slot = on_want_slot,
				  .want_process = on_want_process };
	struct sandbox sandbox = { .role = ROLE_TRACE, .uid = uid };
	struct err err = { "" };
	int ret;

	ret = prepare(&trace);
	if (ret) {
		log_error("the trace role cannot map what it was given: %s", strerror(-ret));
		return 1;
	}
	ret = sandbox__enter(&sandbox, &err);
	if (ret) {
		log_error("%s", err.text);
		return 1;
	}
	trace_settings__to_engine(&trace.settings, trace.host_attributes.at, &config);
	trace.engine = engine__new(&config, &out, trace.account);
	if (!trace.engine) {
		log_error("out of memory for the tables of the trace role");
		return 1;
	}
	if (trace.recording)
		record_file__begin(&trace.record, &trace.settings, trace.host_attributes.at);
	control__send(FD_CONTROL, CONTROL_READY, NULL, 0);
	if (trace.settings.source == SOURCE_FILE)
		run_file(&trace);
	else
		run_ring(&trace);
	flush(&trace);
	engine__free(trace.engine);
	return 0;
}
