// SPDX-License-Identifier: Apache-2.0
/*
 * The inspect role's parsers on any file: ELF, Go build information, archives. The bytes are the
 * file. An answer must be one that probe believes, or the role's honest errors.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/message.h"
#include "inspect/buildinfo.h"
#include "inspect/inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check(const struct inspect_answer *a)
{
	if (a->runtime > RUNTIME_PERL || a->build_id_bytes > sizeof(a->build_id))
		abort();
	if (a->status && a->status != -ENOEXEC && a->status != -EPROTO && a->status != -E2BIG)
		abort();
	if (a->runtime_version[sizeof(a->runtime_version) - 1] ||
	    a->module[sizeof(a->module) - 1] || a->module_version[sizeof(a->module_version) - 1] ||
	    a->sdk[sizeof(a->sdk) - 1])
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static int fd = -1;
	struct inspect_answer a = { 0 };

	if (fd < 0)
		fd = memfd_create("inspect_fuzz", MFD_CLOEXEC);
	if (ftruncate(fd, (off_t)len) || pwrite(fd, bytes, len, 0) != (ssize_t)len)
		abort();
	inspect__parse(fd, &a);
	check(&a);
	memset(&a, 0, sizeof(a));
	buildinfo__parse((const char *)bytes, len, &a);
	check(&a);
	return 0;
}
