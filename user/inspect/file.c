// SPDX-License-Identifier: Apache-2.0
#include "inspect/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int file__open(struct file *file, int fd)
{
	off_t size = lseek(fd, 0, SEEK_END); /* the sandbox knows no stat */

	if (size < 0)
		return -EIO;
	*file = (struct file){ .fd = fd,
			       .size = (uint64_t)size,
			       .bytes_left = FILE_BUDGET_BYTES,
			       .reads_left = FILE_BUDGET_READS,
			       .code_left = FILE_BUDGET_CODE_BYTES };
	return 0;
}

int file__read(struct file *file, uint64_t offset, void *to, size_t n)
{
	size_t have = 0;

	if (offset > file->size || n > file->size - offset)
		return -EPROTO;
	if (n > file->bytes_left) {
		file->cut = true;
		return -E2BIG;
	}
	file->bytes_left -= n;
	while (have < n) {
		ssize_t got;

		if (!file->reads_left) {
			file->cut = true;
			return -E2BIG;
		}
		file->reads_left--;
		got = pread(file->fd, (char *)to + have, n - have, (off_t)(offset + have));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) /* cut short meanwhile, or a bad disk */
			return -EIO;
		have += (size_t)got;
	}
	return 0;
}

long file__read_some(struct file *file, uint64_t offset, void *to, size_t n)
{
	int err;

	if (offset >= file->size)
		return -EPROTO;
	if (n > file->size - offset)
		n = (size_t)(file->size - offset);
	err = file__read(file, offset, to, n);
	return err ? err : (long)n;
}

long file__read_string(struct file *file, uint64_t offset, char *to, size_t max)
{
	long n = file__read_some(file, offset, to, max - 1);

	if (n < 0)
		return n;
	to[n] = '\0';
	return (long)strlen(to);
}
