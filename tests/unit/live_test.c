// SPDX-License-Identifier: Apache-2.0
/* Protects: the account in shared memory is read whole or not at all, and only its writer can write it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "supervise/live.h"

static void what_is_written_is_read(void **state)
{
	static char too_long[LIVE_BYTES];
	struct buf out = { 0 };
	uint64_t at = 0;
	int fd = -1;
	struct live *live = live__new(&fd);
	const struct live *reader = live ? live__map(fd) : NULL;

	assert_non_null(reader);
	assert_int_equal(live__read(reader, &out, &at), -ENODATA);
	assert_int_equal(live__write(live, VIEW("{\"a\":1}"), 5), 0);
	assert_int_equal(live__read(reader, &out, &at), 0);
	assert_int_equal(at, 5);
	assert_int_equal(out.len, 7);
	assert_memory_equal(out.at, "{\"a\":1}", 7);
	/* Too long: what stood there stays. */
	assert_int_equal(live__write(live, (struct view){ too_long, sizeof(too_long) }, 6),
			 -EMSGSIZE);
	assert_int_equal(live__read(reader, &out, &at), 0);
	assert_int_equal(at, 5);
	/* Whoever died while writing. */
	live->version |= 1;
	assert_int_equal(live__read(reader, &out, &at), -EAGAIN);
	buf__free(&out);
	live__unmap(reader);
	live__unmap(live);
	close(fd);
}

static void only_its_writer_writes(void **state)
{
	int fd = -1;
	struct live *live = live__new(&fd);
	void *at;

	assert_non_null(live);
	at = mmap(NULL, LIVE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_equal(at, MAP_FAILED);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	at = (void *)live__map(fd);
	assert_non_null(at);
	assert_int_equal(mprotect(at, LIVE_BYTES, PROT_READ | PROT_WRITE), -1);
	live__unmap(at);
	live__unmap(live);
	close(fd);
}

static void *write_on(void *arg)
{
	static char text[4096];

	for (unsigned int i = 0; i < 20000; i++) {
		memset(text, 'a' + (int)(i % 26), sizeof(text));
		live__write(arg, (struct view){ text, 1 + i % sizeof(text) }, i);
	}
	return NULL;
}

static void never_half(void **state)
{
	int fd = -1;
	struct live *live = live__new(&fd);
	const struct live *reader = live__map(fd);
	struct buf out = { 0 };
	uint64_t at = 0;
	pthread_t writer;

	assert_int_equal(pthread_create(&writer, NULL, write_on, live), 0);
	while (at < 19999) {
		if (live__read(reader, &out, &at))
			continue;
		assert_int_equal(out.len, 1 + at % 4096);
		for (size_t i = 0; i < out.len; i++)
			assert_int_equal(out.at[i], 'a' + (int)(at % 26));
	}
	pthread_join(writer, NULL);
	buf__free(&out);
	live__unmap(reader);
	live__unmap(live);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(only_its_writer_writes),
		cmocka_unit_test(never_half),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
