// SPDX-License-Identifier: Apache-2.0
#include "inspect/role.h"

#include "base/log.h"
#include "inspect/disasm.h"
#include "inspect/inspect.h"
#include "supervise/sandbox.h"

int inspect__role_main(uid_t uid)
{
	struct sandbox sandbox = { .role = ROLE_INSPECT, .uid = uid };
	struct err err = { "" };

	/* Without it all else works, and each answer says of which functions it does not know the returns. */
	if (disasm__load(&err))
		log_error("%s", err.text);
	if (sandbox__enter(&sandbox, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	return inspect__main(FD_CONTROL) ? 1 : 0;
}
