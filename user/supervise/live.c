// SPDX-License-Identifier: Apache-2.0
#include "supervise/live.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Headers of older C libraries lack it; the kernel has it from 5.1 on. */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
/* Writing takes a microsecond: who finds it written over so often looks at something broken. */
#define ATTEMPTS 64

_Static_assert(sizeof(struct live) <= LIVE_BYTES, "it fits into its memory");

struct live *live__new(int *ret_fd)
{
	int fd = memfd_create("sonde-live", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at = MAP_FAILED;
	int saved;

	if (fd < 0)
		return NULL;
	if (!ftruncate(fd, LIVE_BYTES))
		at = mmap(NULL, LIVE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	/* What is mapped now may be written; nothing that is mapped later. */
	if (at != MAP_FAILED &&
	    !fcntl(fd, F_ADD_SEALS,
		   F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)) {
		*ret_fd = fd;
		return at;
	}
	saved = errno;
	if (at != MAP_FAILED)
		munmap(at, LIVE_BYTES);
	close(fd);
	errno = saved;
	return NULL;
}

const struct live *live__map(int fd)
{
	void *at = mmap(NULL, LIVE_BYTES, PROT_READ, MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

void live__unmap(const struct live *live)
{
	if (live)
		munmap((void *)live, LIVE_BYTES);
}

int live__write(struct live *live, struct view text, uint64_t boot_ns)
{
	uint64_t version = live->version;

	if (text.len > sizeof(live->text))
		return -EMSGSIZE;
	__atomic_store_n(&live->version, version + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy(live->text, text.at, text.len);
	live->len = (uint32_t)text.len;
	live->boot_ns = boot_ns;
	__atomic_store_n(&live->version, version + 2, __ATOMIC_RELEASE);
	return 0;
}

int live__read(const struct live *live, struct buf *out, uint64_t *ret_boot_ns)
{
	for (unsigned int i = 0; i < ATTEMPTS; i++) {
		uint64_t version = __atomic_load_n(&live->version, __ATOMIC_ACQUIRE);
		uint32_t len = live->len;
		uint64_t boot_ns = live->boot_ns;

		if (!version)
			return -ENODATA;
		if (version & 1 || len > sizeof(live->text))
			continue;
		buf__clear(out);
		buf__add(out, live->text, len);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (__atomic_load_n(&live->version, __ATOMIC_RELAXED) != version)
			continue;
		*ret_boot_ns = boot_ns;
		return out->err;
	}
	return -EAGAIN;
}
