// SPDX-License-Identifier: Apache-2.0
/* Protects: all spans of a trace get one answer, ratios are kept, ot=th says what was done. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "core/ids.h"
#include "core/sampler.h"

static struct propagated parent_of(uint8_t flags, const char *state)
{
	struct propagated p = { .flags = flags, .tracestate_len = (uint16_t)strlen(state) };

	memcpy(p.tracestate, state, p.tracestate_len);
	return p;
}

static struct sampled decide(enum sampler_kind kind, double ratio, uint64_t low,
			     const struct propagated *parent)
{
	struct engine_config config = { .sampler = kind, .sampler_ratio = ratio };
	struct sampled s;
	uint8_t id[16] = { 1 };

	ids__put64(id + 8, low);
	sampler__decide(&config, id, parent, &s);
	return s;
}

static void check_state(const struct sampled *s, const char *expected)
{
	assert_int_equal(s->tracestate_len, strlen(expected));
	assert_memory_equal(s->tracestate, expected, strlen(expected));
}

static void kinds(void **state)
{
	static const struct {
		enum sampler_kind kind;
		bool root, sampled_parent, unsampled_parent;
	} rows[] = {
		{ SAMPLER_PARENT_ALWAYS_ON, true, true, false },
		{ SAMPLER_ALWAYS_ON, true, true, true },
		{ SAMPLER_ALWAYS_OFF, false, false, false },
		{ SAMPLER_PARENT_ALWAYS_OFF, false, true, false },
		{ SAMPLER_RATIO, false, false, false },
		{ SAMPLER_PARENT_RATIO, false, true, false },
	};
	struct propagated on = parent_of(W3C_SAMPLED, "a=1"), off = parent_of(0, "a=1");

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sampled s = decide(rows[i].kind, 0, UINT64_MAX, NULL);

		assert_int_equal(s.sampled, rows[i].root);
		assert_int_equal(s.tracestate_len, 0);
		s = decide(rows[i].kind, 0, UINT64_MAX, &on);
		assert_int_equal(s.sampled, rows[i].sampled_parent);
		check_state(&s, "a=1");
		s = decide(rows[i].kind, 0, UINT64_MAX, &off);
		assert_int_equal(s.sampled, rows[i].unsampled_parent);
	}
}

static void thresholds(void **state)
{
	static const struct {
		double ratio;
		uint64_t reject, accept;
		const char *state;
	} rows[] = {
		{ 1.0, 0, 0, "ot=th:0" },
		{ 0.5, 0x7fffffffffffff, 0x80000000000000, "ot=th:8" },
		{ 0.25, 0xbfffffffffffff, 0xc0000000000000, "ot=th:c" },
		{ 0.1, 0xe665ffffffffff, 0xe6660000000000, "ot=th:e666" },
		{ 0.001, 0xffbe76ffffffff, 0xffbe7700000000, "ot=th:ffbe77" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* The highest byte is not random by the specification: it must not count. */
		struct sampled s =
			decide(SAMPLER_RATIO, rows[i].ratio, rows[i].accept | 0xffull << 56, NULL);

		assert_true(s.sampled);
		check_state(&s, rows[i].state);
		if (rows[i].reject) {
			s = decide(SAMPLER_PARENT_RATIO, rows[i].ratio, rows[i].reject, NULL);
			assert_false(s.sampled);
			assert_int_equal(s.tracestate_len, 0);
		}
	}
	assert_false(decide(SAMPLER_RATIO, 0, 0xffffffffffffff, NULL).sampled);
}

static void randomness_may_be_said(void **state)
{
	struct propagated high = parent_of(0, "x=y,ot=rv:ffffffffffffff;th:1;p:2,z=1");
	struct propagated low = parent_of(1, "ot=rv:00000000000000"),
			  bad = parent_of(1, "ot=rv:zz");
	struct sampled s = decide(SAMPLER_RATIO, 0.5, 0, &high);

	assert_true(s.sampled);
	check_state(&s, "ot=th:8;rv:ffffffffffffff;p:2,x=y,z=1");
	assert_false(decide(SAMPLER_RATIO, 0.5, UINT64_MAX, &low).sampled);
	assert_true(decide(SAMPLER_RATIO, 0.5, UINT64_MAX, &bad).sampled);
}

static void a_full_tracestate_stays_as_it_was(void **state)
{
	struct propagated p = parent_of(1, "a=1");
	struct sampled s;

	memset(p.tracestate, 'x', sizeof(p.tracestate));
	memcpy(p.tracestate, "a=", 2);
	p.tracestate_len = sizeof(p.tracestate);
	s = decide(SAMPLER_RATIO, 1, 5, &p);
	assert_true(s.sampled);
	assert_int_equal(s.tracestate_len, sizeof(p.tracestate));
	assert_memory_equal(s.tracestate, p.tracestate, sizeof(p.tracestate));
}

static struct sampled decide_shed(enum sampler_kind kind, double ratio, uint32_t halvings,
				  uint64_t low, const struct propagated *parent)
{
	struct engine_config config = { .sampler = kind,
					.sampler_ratio = ratio,
					.shed = { .halvings = halvings } };
	struct sampled s;
	uint8_t id[16] = { 1 };

	ids__put64(id + 8, low);
	sampler__decide(&config, id, parent, &s);
	return s;
}

/* The governor's threshold comes on top of the sampler's, and the higher one is told. */
static void shed(void **state)
{
	struct propagated plain = parent_of(W3C_SAMPLED, "a=1"),
			  told = parent_of(W3C_SAMPLED, "ot=th:8,a=1"),
			  high = parent_of(W3C_SAMPLED, "ot=th:fc,a=1"), off = parent_of(0, "a=1");
	struct sampled s = decide_shed(SAMPLER_PARENT_ALWAYS_ON, 1, 2, 0xc0000000000000, NULL);

	assert_true(s.sampled && !s.shed);
	check_state(&s, "ot=th:c");
	s = decide_shed(SAMPLER_PARENT_ALWAYS_ON, 1, 2, 0xbfffffffffffff, NULL);
	assert_true(!s.sampled && s.shed);
	assert_int_equal(s.tracestate_len, 0);
	/* The sampler's own is higher. */
	s = decide_shed(SAMPLER_RATIO, 1.0 / 16, 2, 0xf0000000000000, NULL);
	assert_true(s.sampled && !s.shed);
	check_state(&s, "ot=th:f");
	/* What the sampler does not want is not shed. */
	s = decide_shed(SAMPLER_RATIO, 1.0 / 16, 2, 0, NULL);
	assert_true(!s.sampled && !s.shed);
	s = decide_shed(SAMPLER_PARENT_ALWAYS_ON, 1, 2, UINT64_MAX, &off);
	assert_true(!s.sampled && !s.shed);
	/* By which threshold the caller sampled is not known: none is made up. */
	s = decide_shed(SAMPLER_PARENT_ALWAYS_ON, 1, 2, UINT64_MAX, &plain);
	assert_true(s.sampled && !s.shed);
	check_state(&s, "a=1");
	s = decide_shed(SAMPLER_PARENT_ALWAYS_ON, 1, 2, 0, &plain);
	assert_true(!s.sampled && s.shed);
	check_state(&s, "a=1");
	s = decide_shed(SAMPLER_PARENT_ALWAYS_ON, 1, 2, UINT64_MAX, &told);
	assert_true(s.sampled);
	check_state(&s, "ot=th:c,a=1");
	s = decide_shed(SAMPLER_PARENT_ALWAYS_ON, 1, 2, UINT64_MAX, &high);
	assert_true(s.sampled);
	check_state(&s, "ot=th:fc,a=1");
	/* A trace that stays at one step stays at every lower one. */
	for (uint64_t id = 1; id < 2000; id++)
		for (uint32_t halvings = 1; halvings <= 6; halvings++) {
			uint64_t low = id * 0x9e3779b97f4a7c15ull;

			if (decide_shed(SAMPLER_ALWAYS_ON, 1, halvings, low, NULL).sampled)
				assert_true(
					decide_shed(SAMPLER_ALWAYS_ON, 1, halvings - 1, low, NULL)
						.sampled);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(thresholds),
		cmocka_unit_test(randomness_may_be_said),
		cmocka_unit_test(a_full_tracestate_stays_as_it_was),
		cmocka_unit_test(shed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
