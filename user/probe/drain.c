// SPDX-License-Identifier: Apache-2.0
#include "probe/drain.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "../headers/records.h"
#include "supervise/spawn.h"
#include "trace/ring.h"

#define BUSY_MS 5
#define TRAFFIC_NS 200000000ull

struct drain {
	struct ring from;
	volatile struct sonde_switches *kernel_switches;
	volatile struct sonde_switches *reader_switches;
	int buffer_fd, wake_fd, switches_fd;
	uint8_t *buffer; /* consumer page, producer page, data */
	uint64_t bytes, page;
	uint64_t position, lost, begun_lost, last_ns;
	uint8_t record[SONDE_RECORD_MAX_BYTES] __attribute__((aligned(8)));
};

int drain__new(int ring_fd, int switches_fd, uint64_t bytes, struct drain **ret, struct err *err)
{
	struct drain *d = calloc(1, sizeof(*d));
	int code = -ENOMEM;
	void *at;

	if (!d)
		return err__set(err, code, "out of memory");
	d->page = (uint64_t)sysconf(_SC_PAGESIZE);
	d->bytes = bytes;
	d->buffer_fd = d->switches_fd = -1;
	d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->wake_fd < 0)
		goto failed;
	code = ring__map(&d->from, ring_fd, bytes);
	if (code)
		goto failed;
	at = mmap(NULL, d->page, PROT_READ | PROT_WRITE, MAP_SHARED, switches_fd, 0);
	if (at == MAP_FAILED)
		goto failed_errno;
	d->kernel_switches = at;
	d->reader_switches = spawn__shared("sonde-switches", d->page, &d->switches_fd);
	d->buffer = spawn__shared("sonde-drain", 2 * d->page + bytes, &d->buffer_fd);
	if (!d->reader_switches || !d->buffer)
		goto failed_errno;
	*ret = d;
	return 0;
failed_errno:
	code = -errno;
failed:
	drain__free(d);
	return err__set(err, code,
			"cannot make the shared buffer between kernel and trace role: %s",
			strerror(-code));
}

void drain__free(struct drain *d)
{
	if (!d)
		return;
	ring__unmap(&d->from);
	if (d->kernel_switches)
		munmap((void *)d->kernel_switches, d->page);
	if (d->reader_switches)
		munmap((void *)d->reader_switches, d->page);
	if (d->buffer)
		munmap(d->buffer, 2 * d->page + d->bytes);
	if (d->buffer_fd >= 0)
		close(d->buffer_fd);
	if (d->switches_fd >= 0)
		close(d->switches_fd);
	if (d->wake_fd >= 0)
		close(d->wake_fd);
	free(d);
}

int drain__buffer_fd(const struct drain *d)
{
	return d->buffer_fd;
}

int drain__wake_fd(const struct drain *d)
{
	return d->wake_fd;
}

int drain__switches_fd(const struct drain *d)
{
	return d->switches_fd;
}

/* A record may run over the end of the buffer: the reader sees the data twice in a row. */
static void put(struct drain *d, uint64_t at, const void *bytes, uint64_t len)
{
	uint8_t *data = d->buffer + 2 * d->page;
	uint64_t begin = at & (d->bytes - 1), first = d->bytes - begin;

	if (first > len)
		first = len;
	memcpy(data + begin, bytes, first);
	memcpy(data, (const uint8_t *)bytes + first, len - first);
}

/* The reader's position is hostile: at worst it makes us believe in room, inside our own buffer. */
static bool pass_on(struct drain *d, const void *record, uint64_t len)
{
	uint64_t consumer = __atomic_load_n((uint64_t *)d->buffer, __ATOMIC_ACQUIRE);
	uint64_t whole = (len + BPF_RINGBUF_HDR_SZ + 7) & ~7ull;
	uint32_t header[2] = { (uint32_t)len, 0 };

	if (d->position - consumer > d->bytes || d->bytes - (d->position - consumer) < whole)
		return false;
	put(d, d->position + BPF_RINGBUF_HDR_SZ, record, len);
	put(d, d->position, header, sizeof(header));
	d->position += whole;
	__atomic_store_n((uint64_t *)(d->buffer + d->page), d->position, __ATOMIC_SEQ_CST);
	return true;
}

static void count_lost(struct drain *d, uint64_t len)
{
	const struct sonde_rec *record = (const struct sonde_rec *)d->record;

	d->lost++;
	if (len <= sizeof(d->record))
		d->begun_lost += record__begun(record, len);
}

void drain__run(struct drain *d)
{
	bool any = false;
	size_t len;

	__atomic_store_n(&d->kernel_switches->consumer_sleeps, 0, __ATOMIC_SEQ_CST);
	d->kernel_switches->generation = d->reader_switches->generation;
	d->kernel_switches->shed_heads = d->reader_switches->shed_heads;
	while (ring__take(&d->from, d->record, sizeof(d->record), &len)) {
		any = true;
		ring__pass(&d->from);
		if (len > sizeof(d->record) || !pass_on(d, d->record, len))
			count_lost(d, len);
	}
	if (any) {
		d->last_ns = clock__boot_ns();
		if (__atomic_load_n(&d->reader_switches->consumer_sleeps, __ATOMIC_SEQ_CST))
			eventfd_write(d->wake_fd, 1);
	}
	d->kernel_switches->wake_bytes = drain__wait_ms(d) > 0 ? (uint32_t)(d->bytes / 4) : 0;
	__atomic_store_n(&d->kernel_switches->consumer_sleeps, 1, __ATOMIC_SEQ_CST);
}

int drain__wait_ms(const struct drain *d)
{
	if (ring__waiting(&d->from))
		return BUSY_MS;
	return d->last_ns && clock__boot_ns() - d->last_ns < TRAFFIC_NS ? BUSY_MS : -1;
}

uint64_t drain__lost(const struct drain *d)
{
	return d->lost;
}

uint64_t drain__begun_lost(const struct drain *d)
{
	return d->begun_lost;
}
