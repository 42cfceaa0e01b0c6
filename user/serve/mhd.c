// SPDX-License-Identifier: Apache-2.0
#include "serve/mhd.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

/* The one that the header belongs to. */
#define LIBRARY "libmicrohttpd.so.12"

int mhd__load(struct mhd *ret, struct err *err)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	const char *missing = NULL;

	if (!library)
		return err__set(
			err, -ENOENT,
			"the web server's library cannot be loaded: %s; install it: apt-get "
			"install libmicrohttpd12",
			dlerror());
#define MHD_LOAD(name)                                                                             \
	do {                                                                                       \
		void *at = dlsym(library, #name);                                                  \
                                                                                                   \
		memcpy(&ret->name, &at, sizeof(at));                                               \
		missing = at ? missing : #name;                                                    \
	} while (0);
	MHD_CALLS(MHD_LOAD)
#undef MHD_LOAD
	return missing ? err__set(err, -ENOENT, LIBRARY " has no %s", missing) : 0;
}
