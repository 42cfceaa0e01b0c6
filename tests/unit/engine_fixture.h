/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the engine have in common. Included by one test program each. */
#ifndef SONDE_TESTS_ENGINE_FIXTURE_H
#define SONDE_TESTS_ENGINE_FIXTURE_H

#include <errno.h>

#include "sim_tracer.h"

/* Tables leave out what is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static int setup(void **state)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert_non_null(sim);
	sim_open(sim);
	*state = sim;
	return 0;
}

static int teardown(void **state)
{
	struct sim *sim = *state;

	sim_close(sim);
	free(sim);
	return 0;
}

#define GET "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define TP "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

#endif
