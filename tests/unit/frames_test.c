// SPDX-License-Identifier: Apache-2.0
/* Protects: frames come out as they were put, whole and in order, whoever dies and whatever the other side writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/frame.h"
#include "supervise/frames.h"

static int memory;
static struct frames writer, reader;
static uint8_t room[FRAMES_BYTES];

/* As ship does that takes all at once. */
static size_t take(size_t most)
{
	size_t n = frames__copy(&reader, room, most);

	frames__pass(&reader, n);
	return n;
}

/* As another process maps it that begins now. */
static void join(struct frames *frames, bool writes)
{
	if (frames->shared)
		munmap(frames->shared, (size_t)sysconf(_SC_PAGESIZE) + 2 * FRAMES_BYTES);
	*frames = (struct frames){ 0 };
	assert_int_equal(frames__map(frames, memory, writes), 0);
}

static int set_up(void **state)
{
	memory = memfd_create("frames", 0);
	if (memory < 0 || ftruncate(memory, FRAMES_MEMORY_BYTES))
		return -1;
	join(&writer, true);
	join(&reader, false);
	return 0;
}

static int tear_down(void **state)
{
	close(memory);
	return 0;
}

static size_t make(struct buf *out, uint32_t number, size_t body)
{
	static uint8_t bytes[FRAMES_BYTES];

	memset(bytes, (int)number, body);
	memcpy(bytes, &number, sizeof(number));
	buf__clear(out);
	frame__add(out, FRAME_SCOPE, bytes, body, NULL, 0);
	assert_int_equal(out->err, 0);
	return out->len;
}

static bool put(uint32_t number, size_t body)
{
	struct buf out = { 0 };
	size_t len = make(&out, number, body);
	bool ret = frames__put(&writer, out.at, len);

	buf__free(&out);
	return ret;
}

static void expect(uint32_t number, size_t body)
{
	struct buf out = { 0 };
	size_t len = make(&out, number, body);

	assert_int_equal(take(len), len);
	assert_memory_equal(room, out.at, len);
	buf__free(&out);
}

static void in_order_around_the_end(void **state)
{
	uint32_t out = 0, in = 0;

	/* Several times around, with lengths that end everywhere. */
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 11; i++, in++)
			assert_true(put(in, 8 + (in * 7919u) % 5000));
		assert_int_equal(take(sizeof(room)), 0);
		frames__publish(&writer);
		for (; out < in; out++)
			expect(out, 8 + (out * 7919u) % 5000);
		assert_int_equal(take(sizeof(room)), 0);
	}
}

static void full_until_taken(void **state)
{
	uint32_t n = 0;

	while (put(n, 992))
		n++;
	assert_int_equal(n, FRAMES_BYTES / 1000);
	assert_int_equal(frames__unpublished(&writer), n * 1000);
	frames__publish(&writer);
	assert_int_equal(frames__unpublished(&writer), 0);
	assert_false(put(n, 992));
	expect(0, 992);
	assert_true(put(n, 992));
	assert_false(put(n, 992));
	/* Longer than all of it: never. */
	for (uint32_t i = 1; i < n; i++)
		expect(i, 992);
	assert_false(frames__put(&writer, room, sizeof(room) + 1));
}

static void woken_once_for_what_came_in_sleep(void **state)
{
	/* Nobody sleeps yet. */
	assert_true(put(1, 100));
	assert_false(frames__publish(&writer));
	/* What is there already is not slept over. */
	assert_false(frames__sleep(&reader));
	expect(1, 100);
	assert_true(frames__sleep(&reader));
	assert_false(frames__publish(&writer));
	assert_true(put(2, 100));
	assert_int_equal(frames__waiting(&writer), 108);
	assert_true(frames__publish(&writer));
	/* The writer may leave it to sleep on. */
	assert_true(put(3, 100));
	assert_true(frames__publish(&writer));
	assert_true(frames__wake(&writer));
	assert_false(frames__wake(&writer));
	assert_true(put(4, 100));
	assert_false(frames__publish(&writer));
}

static void successors_go_on(void **state)
{
	assert_true(put(1, 100));
	assert_true(put(2, 300));
	frames__publish(&writer);
	expect(1, 100);
	/* Put, not published: gone with its writer, and what was published is there. */
	assert_true(put(3, 100));
	join(&writer, true);
	join(&reader, false);
	assert_true(put(4, 50));
	frames__publish(&writer);
	expect(2, 300);
	expect(4, 50);
	assert_int_equal(take(sizeof(room)), 0);
}

static void only_what_was_passed_is_gone_with_its_reader(void **state)
{
	size_t n = 0;

	for (uint32_t i = 0; i < 3; i++)
		assert_true(put(i, 92));
	frames__publish(&writer);
	assert_int_equal(frames__copy(&reader, room, 250), 250);
	/* There is no room before it was passed. */
	while (put(9, 992))
		n++;
	assert_int_equal(n, (FRAMES_BYTES - 300) / 1000);
	frames__pass(&reader, 100);
	join(&reader, false);
	expect(1, 92);
	expect(2, 92);
	/* No more can be passed than was copied. */
	frames__pass(&reader, 1000000);
	frames__publish(&writer);
	for (; n; n--)
		expect(9, 992);
	assert_int_equal(take(sizeof(room)), 0);
}

static void what_is_no_frame_is_copied_as_bytes(void **state)
{
	uint8_t bytes[100];

	memset(bytes, 0xff, sizeof(bytes));
	assert_true(frames__put(&writer, bytes, sizeof(bytes)));
	frames__publish(&writer);
	/* As much as there is, or as fits. */
	assert_int_equal(take(60), 60);
	assert_memory_equal(room, bytes, 60);
	assert_int_equal(take(sizeof(room)), 40);
	assert_true(frames__put(&writer, bytes, 3));
	frames__publish(&writer);
	assert_int_equal(take(sizeof(room)), 3);
}

static void impossible_positions(void **state)
{
	uint64_t *written = (uint64_t *)writer.shared;

	/* The writer says that there is more than there can be: none of it, and then as before. */
	assert_true(put(1, 100));
	frames__publish(&writer);
	*written += 10ull * FRAMES_BYTES;
	assert_int_equal(take(sizeof(room)), 0);
	join(&writer, true);
	assert_true(put(2, 100));
	frames__publish(&writer);
	expect(2, 100);
	/* The reader says that it took what was never there: no room, until one comes that knows better. */
	reader.position += 10ull * FRAMES_BYTES;
	reader.told = reader.position;
	reader.other = reader.position + 1;
	take(1);
	join(&writer, true);
	assert_false(put(3, 100));
	join(&reader, false);
	assert_int_equal(take(sizeof(room)), 0);
	assert_true(put(4, 100));
	frames__publish(&writer);
	expect(4, 100);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(in_order_around_the_end),
		TEST(full_until_taken),
		TEST(woken_once_for_what_came_in_sleep),
		TEST(successors_go_on),
		TEST(only_what_was_passed_is_gone_with_its_reader),
		TEST(what_is_no_frame_is_copied_as_bytes),
		TEST(impossible_positions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
