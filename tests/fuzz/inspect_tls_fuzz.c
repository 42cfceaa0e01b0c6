// SPDX-License-Identifier: Apache-2.0
/*
 * What the inspect role says of TLS functions in any file: symbols, unwind tables, machine code, Go's table of
 * functions. The bytes are the file. An answer must be one that probe believes: it goes by the socket.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inspect/disasm.h"
#include "inspect/inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(const struct inspect_tls *a, size_t len)
{
	static int fds[2] = { -1, -1 };
	static struct inspect_tls got;

	if (fds[0] < 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		abort();
	if (send(fds[1], a, sizeof(*a), 0) != (ssize_t)sizeof(*a) ||
	    inspect__answer_tls(fds[0], &got))
		abort();
	if (a->status && a->status != -ENOEXEC && a->status != -EPROTO && a->status != -E2BIG)
		abort();
	for (uint32_t i = 0; i < a->n_functions; i++)
		if (a->functions[i].offset >= len)
			abort();
	for (uint32_t i = 0; i < a->n_points; i++) {
		if (a->points[i].offset >= len)
			abort();
		for (uint32_t k = 0; k < i; k++)
			if (a->points[k].offset == a->points[i].offset)
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct inspect_tls a;
	static int fd = -1;
	struct err err;

	if (fd < 0)
		fd = memfd_create("inspect_tls_fuzz", MFD_CLOEXEC);
	if (disasm__load(&err) || ftruncate(fd, (off_t)len) ||
	    pwrite(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	memset(&a, 0, sizeof(a));
	a.abi = INSPECT_ABI;
	inspect__parse_tls(fd, &a);
	check(&a, len);
	return 0;
}
