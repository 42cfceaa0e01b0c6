/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nginx_record: a record file of what trace receives while nginx serves a small page over
 * keep-alive connections, made without nginx: always the same bytes, whatever the machine and its
 * load. For counting instructions; what a real run gives, `sonde record` writes.
 *
 *   nginx_record EXCHANGES FILE
 *
 * 32 connections in turn, two records an exchange, time and slots as at 40,000 requests a second.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/frame.h"
#include "core/message.h"
#include "trace/record_file.h"

#define CONNECTIONS 32
#define STEP_NS 12500	/* between two records */
#define CLOCK_EVERY 400 /* exchanges: the consumer looks at the clock about every 10 ms */

static const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n"
			       "Date: Fri, 21 Nov 2025 12:00:00 GMT\r\n"
			       "Content-Type: text/html\r\nContent-Length: 128\r\n"
			       "Last-Modified: Fri, 21 Nov 2025 11:00:00 GMT\r\n"
			       "Connection: keep-alive\r\nETag: \"69203d70-80\"\r\n"
			       "Accept-Ranges: bytes\r\n\r\n";
#define BODY_BYTES 128

struct connection {
	uint64_t id, offset[2], ns[2]; /* [0]: received, [1]: sent */
	uint32_t turn;
};

static struct buf out;
static uint64_t now = 1000000000;

static void add(enum message_type type, const void *bytes, size_t len)
{
	frame__add(&out, (enum frame_type)type, bytes, len, NULL, 0);
}

static void add_clock(void)
{
	struct message_clock clock = { now, 1700000000000000000ll };

	add(MSG_CLOCK, &clock, sizeof(clock));
}

static void add_attribute(struct buf *to, const char *key, const char *value)
{
	uint16_t lens[2] = { (uint16_t)strlen(key), (uint16_t)strlen(value) };

	buf__add(to, lens, sizeof(lens));
	buf__add(to, "\0\0\0\0", 4);
	buf__add(to, key, lens[0]);
	buf__add(to, value, lens[1]);
}

static void add_process(void)
{
	struct message_process who = {
		.tgid_start_ns = 7, .tgid = 100, .runtime = RUNTIME_NATIVE, .attributes = 3
	};
	struct buf message = { 0 };

	buf__add(&message, &who, sizeof(who));
	add_attribute(&message, "service.name", "nginx");
	add_attribute(&message, "process.executable.name", "nginx");
	add_attribute(&message, "process.executable.path", "/usr/sbin/nginx");
	add(MSG_PROCESS, message.at, message.len);
	buf__free(&message);
}

static void add_connection(struct connection *c, uint32_t number)
{
	struct sonde_rec_conn rec = {
		.h = { .type = SONDE_REC_CONN, .bytes = sizeof(rec), .ns = now += STEP_NS },
		.tgid = 100,
		.slot = number,
		.tgid_start_ns = 7,
		.family = SONDE_AF_INET,
		.role = SONDE_ROLE_PASSIVE,
		.verdict = SONDE_VERDICT_HTTP1,
		.local_port = 8080,
		.remote_port = (uint16_t)(40000 + number),
		.from_start = 1,
		.local = { 127, 0, 0, 1 },
		.remote = { 127, 0, 0, 1 },
		.tx_base = 1000 + number,
		.rx_base = 900000 + number
	};

	*c = (struct connection){ .id = 0x1000 + number };
	rec.h.conn = c->id;
	add(MSG_RECORD, &rec, sizeof(rec));
}

/* The first two calls of a connection are told at length, the others as quickly as can be. */
static void add_call(struct connection *c, bool sent, const char *text, size_t len, size_t body)
{
	struct {
		struct sonde_rec_data rec;
		char payload[SONDE_CLASS_3_BYTES];
	} data = { 0 };
	struct sonde_rec_more more = { .other_ns = c->ns[!sent], .other_offset = c->offset[!sent] };
	struct sonde_rec_data *rec = &data.rec;
	bool first = ++c->turn <= 2;
	size_t room = first ? SONDE_CLASS_1_BYTES + sizeof(more) :
			      (len + SONDE_CLASS_STEP_BYTES - 1) / SONDE_CLASS_STEP_BYTES *
				      SONDE_CLASS_STEP_BYTES;
	uint32_t bytes = (uint32_t)(sizeof(*rec) + room);

	now += STEP_NS;
	rec->h =
		(struct sonde_rec){ .bytes = bytes,
				    .type = SONDE_REC_DATA,
				    .flags = SONDE_F_TURN_START | SONDE_F_START | SONDE_F_HEAD_END |
					     (sent ? SONDE_F_TX : SONDE_F_BEGUN) |
					     (first ? SONDE_F_MORE : 0),
				    .ns = now,
				    .conn = c->id };
	rec->tgid = rec->tid = 100;
	rec->tgid_start_ns = 7;
	rec->turn = c->turn;
	rec->call_bytes = (uint32_t)(len + body);
	rec->copied = (uint16_t)len;
	rec->offset = c->offset[sent];
	rec->other_low = (uint32_t)c->offset[!sent];
	memcpy(data.payload, text, len);
	if (first)
		memcpy(data.payload + room - sizeof(more), &more, sizeof(more));
	add(MSG_RECORD, &data, bytes);
	c->offset[sent] += len + body;
	c->ns[sent] = now;
}

static void write_all(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t done = 0;

	while (fd >= 0 && done < out.len) {
		ssize_t n = write(fd, out.at + done, out.len - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (out.err || fd < 0 || done < out.len || close(fd)) {
		fprintf(stderr, "nginx_record: cannot write %s\n", path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	static struct connection connections[CONNECTIONS];
	struct trace_settings settings = { .source = SOURCE_FILE };
	unsigned long exchanges = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;

	if (!exchanges) {
		fprintf(stderr, "usage: nginx_record EXCHANGES FILE\n");
		return 2;
	}
	memset(settings.fleet_key, 1, sizeof(settings.fleet_key));
	memset(settings.host_key, 2, sizeof(settings.host_key));
	record_file__begin(&out, &settings, NULL);
	add_clock();
	add_process();
	for (uint32_t i = 0; i < CONNECTIONS; i++)
		add_connection(&connections[i], i);
	for (unsigned long n = 0; n < exchanges; n++) {
		struct connection *c = &connections[n % CONNECTIONS];

		add_call(c, false, request, sizeof(request) - 1, 0);
		add_call(c, true, response, sizeof(response) - 1, BODY_BYTES);
		if (n % CLOCK_EVERY == 0)
			add_clock();
	}
	now += 20000000000;
	add_clock();
	add(MSG_END, NULL, 0);
	write_all(argv[2]);
	return 0;
}
