// SPDX-License-Identifier: Apache-2.0
#include "inspect/role.h"

#include "base/log.h"
#include "inspect/inspect.h"
#include "supervise/sandbox.h"

int inspect__role_main(uid_t uid)
{
	struct sandbox sandbox = { .role = ROLE_INSPECT, .uid = uid };
	struct err err = { "" };

	if (sandbox__enter(&sandbox, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	return inspect__main(FD_CONTROL) ? 1 : 0;
}
