/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_cost: what the user side does for one exchange, in a form that can be counted: a record
 * file through the core to frames, or on through ship's stream, queue and batches.
 *
 *   replay_cost FILE trace|ship
 *   replay_cost FILE records      how many kernel records lie in it, and their bytes in the ring
 *
 * What is counted lies between the half and nine tenths of the file: what happens once (tables grow,
 * buffers reach their size) is before it, what the end of a recording closes is behind it. Prints one
 * line about it:
 *   exchanges N allocations N ns N bytes N     (bytes: of frames, or of requests to be sent)
 * All of that happens within steady(), where callgrind can be told to begin and to end.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/frame.h"
#include "ship/export/batch.h"
#include "ship/stream.h"
#include "trace/record_file.h"

/* As ship has them: what a request holds at most, and what libcurl sends at once. */
#define BATCH_BYTES (1 << 20)
#define UPLOAD_BYTES 65536
#define BLOCK_BYTES 4096

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *at, size_t n);

static unsigned long allocations;

void *malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *realloc(void *at, size_t n)
{
	allocations++;
	return __libc_realloc(at, n);
}

static struct buf file, frames;
static uint64_t spans, bytes;
static bool keep, to_ship;
/* ship's side */
static struct stream *stream;
static struct queue queue = { .bytes_max = 16 << 20 };
static struct batch batch;
static uint8_t upload[UPLOAD_BYTES];

static void die(const char *what)
{
	fprintf(stderr, "replay_cost: %s\n", what);
	exit(1);
}

static int on_frame(void *arg, const void *at, size_t len)
{
	const struct frame_header *header = at;

	spans += header->type == FRAME_SPAN;
	bytes += len;
	if (keep)
		buf__add(&frames, at, len);
	return 0;
}

static void on_watermark(void *arg, uint32_t slot, uint64_t conn, bool tx, uint64_t offset)
{
}

static void on_wish(void *arg, uint32_t slot, uint64_t conn, uint64_t wish)
{
}

static void on_want_slot(void *arg, uint32_t slot, uint64_t conn)
{
}

static void on_want_process(void *arg, uint32_t tgid, uint64_t start_ns)
{
}

/* Of this process alone: whoever else runs here does not count. */
static uint64_t processor_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void send_batch(void)
{
	uint64_t n = queue__prefix(&queue, UINT64_MAX, BATCH_BYTES);
	size_t len, part;

	if (batch__begin(&batch, &queue, n, &len))
		die("no batch could be made");
	while ((part = batch__read(&batch, upload, sizeof(upload))))
		bytes += part;
	queue__drop(&queue, n);
}

static void on_span(void *arg, const struct ship_span *span)
{
	if (!span->head.sampled)
		return;
	spans++;
	if (queue__push(&queue, span->resource, span->scope, span->bytes))
		die("the queue is full");
	if (queue.bytes >= BATCH_BYTES)
		send_batch();
}

static void feed_engine(struct engine *engine, size_t *at, size_t end)
{
	while (*at < end) {
		struct frame_header header;
		const uint8_t *body;
		long n = frame__next(file.at + *at, file.len - *at, &header, &body);

		if (n <= 0)
			die("the file is damaged");
		engine__feed(engine, (enum message_type)header.type, body, header.length);
		*at += (size_t)n;
	}
}

static void on_pass(void *arg, size_t n)
{
	*(size_t *)arg += n;
}

/* In blocks, as ship copies them out. */
static void feed_ship(size_t *at, size_t end)
{
	size_t passed = 0;

	stream__on_pass(stream, on_pass, &passed);
	while (*at < end) {
		size_t n = end - *at < BLOCK_BYTES ? end - *at : BLOCK_BYTES, room;
		uint8_t *to = stream__room(stream, &room);

		if (!to || n > room)
			die("a block does not fit");
		memcpy(to, frames.at + *at, n);
		stream__feed(stream, n);
		*at += n;
	}
	while (queue.spans)
		send_batch();
}

static void feed(struct engine *engine, size_t *at, size_t end)
{
	if (to_ship)
		feed_ship(at, end);
	else
		feed_engine(engine, at, end);
}

void steady(struct engine *engine, size_t *at, size_t end);
__attribute__((noinline)) void steady(struct engine *engine, size_t *at, size_t end)
{
	feed(engine, at, end);
}

static struct engine *open_file(const char *path, size_t *ret_at)
{
	static struct trace_settings settings;
	static struct buf host_attributes;
	static struct account account;
	static struct engine_config config;
	struct engine_out out = { NULL,	   on_frame,	 on_watermark,
				  on_wish, on_want_slot, on_want_process };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct engine *engine;
	struct err err = { "" };
	off_t begin, len;
	uint8_t *to;

	if (fd < 0 || record_file__open(fd, &settings, &host_attributes, &err)) {
		fprintf(stderr, "replay_cost: %s: %s\n", path, fd < 0 ? "cannot read" : err.text);
		exit(1);
	}
	begin = lseek(fd, 0, SEEK_CUR);
	len = lseek(fd, 0, SEEK_END) - begin;
	to = buf__reserve(&file, (size_t)len);
	if (!to || pread(fd, to, (size_t)len, begin) != len)
		die("cannot read it");
	file.len = (size_t)len;
	close(fd);
	trace_settings__to_engine(&settings, host_attributes.at, &config);
	engine = engine__new(&config, &out, &account);
	if (!engine)
		die("out of memory");
	*ret_at = 0;
	return engine;
}

static void print_records(void)
{
	uint64_t records = 0, in_ring = 0;
	struct frame_header header;
	const uint8_t *body;
	long n;

	for (size_t at = 0; at < file.len; at += (size_t)n) {
		n = frame__next(file.at + at, file.len - at, &header, &body);
		if (n <= 0)
			break;
		if (header.type != MSG_RECORD || header.length < sizeof(struct sonde_rec))
			continue;
		records++;
		in_ring += header.length;
	}
	printf("records %lu bytes %lu\n", records, in_ring);
}

int main(int argc, char **argv)
{
	bool records = argc == 3 && !strcmp(argv[2], "records");
	bool ship = argc == 3 && !strcmp(argv[2], "ship");
	uint64_t begin_ns, ns;
	struct engine *engine;
	size_t at, end;

	if (argc != 3 || (!records && !ship && strcmp(argv[2], "trace"))) {
		fprintf(stderr, "usage: replay_cost FILE trace|ship|records\n");
		return 2;
	}
	engine = open_file(argv[1], &at);
	if (records) {
		print_records();
		return 0;
	}
	end = file.len;
	if (ship) {
		keep = true;
		feed_engine(engine, &at, end);
		keep = false;
		to_ship = true;
		stream = stream__new(on_span, NULL);
		if (frames.err || !stream)
			die("out of memory");
		at = 0;
		end = frames.len;
	}
	feed(engine, &at, end / 2);
	spans = bytes = allocations = 0;
	begin_ns = processor_ns();
	steady(engine, &at, end / 10 * 9);
	ns = processor_ns() - begin_ns;
	printf("exchanges %lu allocations %lu ns %lu bytes %lu\n", spans, allocations, ns, bytes);
	stream__free(stream);
	queue__free(&queue);
	batch__free(&batch);
	buf__free(&frames);
	buf__free(&file);
	engine__free(engine);
	return 0;
}
