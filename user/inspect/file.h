/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way to the bytes of a file under inspection: reads at checked places, out of a budget of
 * bytes and of reads, whatever offsets and sizes the file claims.
 */
#ifndef SONDE_INSPECT_FILE_H
#define SONDE_INSPECT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_BUDGET_BYTES (96u << 20)
#define FILE_BUDGET_READS 16384u
#define FILE_BUDGET_CODE_BYTES (4u << 20)

struct file {
	int fd;
	uint64_t size;
	uint64_t bytes_left;
	uint32_t reads_left;
	uint32_t code_left; /* bytes that may be disassembled: that takes most time */
	bool cut; /* something was left out because of a bound, here or by whoever reads */
};

/* -EIO where the file has no size. */
int file__open(struct file *file, int fd);

/* Exactly n bytes at offset: 0, -EPROTO (not inside the file), -E2BIG (budget; sets cut), -EIO. */
int file__read(struct file *file, uint64_t offset, void *to, size_t n);

/* At most n bytes at offset, as many as the file has: their number, or a negative errno. */
long file__read_some(struct file *file, uint64_t offset, void *to, size_t n);

/*
 * A NUL-terminated string at offset, cut at max - 1 bytes: its length, or a negative errno.
 */
long file__read_string(struct file *file, uint64_t offset, char *to, size_t max);

#endif
