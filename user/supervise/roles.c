// SPDX-License-Identifier: Apache-2.0
#include "supervise/roles.h"

const char *roles__name(enum role role)
{
	static const char *const names[] = { "probe", "trace", "ship",	 "inspect",
					     "read",  "serve", "receive" };

	return names[role];
}
