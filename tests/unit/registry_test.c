// SPDX-License-Identifier: Apache-2.0
/* Protects: the registry and what is counted, named and documented by hand say the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/account.h"
#include "registry.h"

/* Every reason of the registry is a counter: else this does not compile. */
static void reasons_are_counters(void **state)
{
	struct account_trace trace = { 0 };
	struct account_sink sink = { 0 };

#define X(kind, name) assert_int_equal(trace.kind##_##name, 0);
	REGISTRY_REASONS_EXCHANGES(X)
#undef X
#define X(kind, name) assert_int_equal(sink.kind##_##name, 0);
	REGISTRY_REASONS_SINKS(X)
#undef X
}

static bool is_reason(const char *counter)
{
#define X(kind, name)                                                                              \
	if (!strcmp(counter, #kind "_" #name))                                                     \
		return true;
	REGISTRY_REASONS_EXCHANGES(X)
	REGISTRY_REASONS_SINKS(X)
#undef X
	return false;
}

static bool is_loss(const char *counter)
{
	return !strncmp(counter, "filtered_", 9) || !strncmp(counter, "dropped_", 8) ||
	       !strncmp(counter, "rejected_", 9);
}

static void counters_are_reasons(void **state)
{
#define X(name, comment)                                                                           \
	if (is_loss(#name) && !is_reason(#name))                                                   \
		fail_msg("%s is not in the registry", #name);
	ACCOUNT_TRACE(X)
	ACCOUNT_SINK(X)
#undef X
}

static void every_name_is_there_once(void **state)
{
	assert_int_equal(sizeof(attribute_name) / sizeof(attribute_name[0]), ATTRIBUTES);
	assert_int_equal(ATTR_CUSTOM, ATTRIBUTES);
	for (int i = 0; i < ATTRIBUTES; i++) {
		assert_non_null(attribute_name[i]);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(attribute_name[i], attribute_name[k]);
	}
	for (int i = 0; i < LINK_METHODS; i++)
		assert_in_range(link_method_confidence[i], 0, 100);
	assert_string_equal(error_type_name[ERROR_OTHER], "_OTHER");
	assert_non_null(strstr(SEMCONV_SCHEMA_URL, SEMCONV_VERSION));
}

/* Tests run at the top of the tree. */
static void docs_are_up_to_date(void **state)
{
	assert_int_equal(
		system("${PYTHON:-python3} registry/generate.py docs registry/registry.txt | "
		       "cmp -s - docs/attributes.md"),
		0);
}

static void mistakes_are_refused_by_line(void **state)
{
	static const char *const wrong[] = {
		"attribute a.b string span", /* one space */
		"attribute  a.b  text  span  meaning",
		"attribute  a.b  string  trace  meaning",
		"colour  red",
		"semconv  1.0.0", /* twice */
		"link_method  x  101  meaning",
	};
	char command[512];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(
			command, sizeof(command),
			"{ cat registry/registry.txt; echo '%s'; } | "
			"${PYTHON:-python3} registry/generate.py header /dev/stdin >/dev/null 2>&1",
			wrong[i]);
		assert_int_not_equal(system(command), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons_are_counters),
		cmocka_unit_test(counters_are_reasons),
		cmocka_unit_test(every_name_is_there_once),
		cmocka_unit_test(docs_are_up_to_date),
		cmocka_unit_test(mistakes_are_refused_by_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
