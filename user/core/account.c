// SPDX-License-Identifier: Apache-2.0
#include "core/account.h"

#include <string.h>

static uint64_t sum_of(const struct account_trace *trace, const char *prefix)
{
	size_t n = strlen(prefix);
	uint64_t sum = 0;

#define X(name, comment) sum += strncmp(#name, prefix, n) ? 0 : trace->name;
	ACCOUNT_TRACE(X)
#undef X
	return sum;
}

uint64_t account__in_hand(const struct account_trace *trace)
{
	uint64_t taken = trace->begun_read + trace->ex_inside;
	uint64_t settled = trace->ex_spans + sum_of(trace, "filtered_") + sum_of(trace, "dropped_");

	return taken > settled ? taken - settled : 0;
}
