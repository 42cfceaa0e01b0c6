// SPDX-License-Identifier: Apache-2.0
#include "probe/identity_runtime.h"

#include <string.h>

#include "probe/service_name.h"

bool maps__next(struct view *maps, struct view *ret_path, struct view *ret_base)
{
	const char *nl, *slash;

	if (!maps->len)
		return false;
	nl = memchr(maps->at, '\n', maps->len);
	*ret_path = (struct view){ maps->at, nl ? (size_t)(nl - maps->at) : maps->len };
	maps->at += ret_path->len + (nl != NULL);
	maps->len -= ret_path->len + (nl != NULL);
	/* The only slash before the path would be none: address perms offset device inode. */
	slash = memchr(ret_path->at, '/', ret_path->len);
	if (slash)
		*ret_path = (struct view){ slash, ret_path->len - (size_t)(slash - ret_path->at) };
	else
		ret_path->len = 0;
	*ret_base = path__base(*ret_path);
	return true;
}

enum runtime runtime__from_maps(struct view maps)
{
	static const struct {
		const char *prefix;
		enum runtime runtime;
	} libraries[] = {
		{ "libjvm.so", RUNTIME_JAVA },	  { "libpython3", RUNTIME_PYTHON },
		{ "libpython2", RUNTIME_PYTHON }, { "libnode.so", RUNTIME_NODE },
		{ "libruby", RUNTIME_RUBY },	  { "libcoreclr.so", RUNTIME_DOTNET },
		{ "libphp", RUNTIME_PHP },	  { "libmonosgen", RUNTIME_DOTNET },
	};
	struct view path, base, before = { NULL, 0 };

	while (maps__next(&maps, &path, &base)) {
		/* a library is mapped in several pieces, one after the other */
		if (!base.len || view_eq(base, before))
			continue;
		before = base;
		for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
			size_t n = strlen(libraries[i].prefix);

			if (base.len >= n && !memcmp(base.at, libraries[i].prefix, n))
				return libraries[i].runtime;
		}
	}
	return RUNTIME_UNKNOWN;
}

struct view runtime__language(enum runtime runtime, bool cxx)
{
	switch (runtime) {
	case RUNTIME_UNKNOWN:
		return VIEW("unknown");
	case RUNTIME_NATIVE:
		return cxx ? VIEW("cpp") : VIEW("native");
	case RUNTIME_GO:
		return VIEW("go");
	case RUNTIME_NODE:
		return VIEW("nodejs");
	case RUNTIME_PYTHON:
		return VIEW("python");
	case RUNTIME_JAVA:
		return VIEW("java");
	case RUNTIME_RUBY:
		return VIEW("ruby");
	case RUNTIME_PHP:
		return VIEW("php");
	case RUNTIME_DOTNET:
		return VIEW("dotnet");
	case RUNTIME_RUST:
		return VIEW("rust");
	case RUNTIME_BEAM:
		return VIEW("erlang");
	case RUNTIME_PERL:
		return VIEW("perl");
	}
	return VIEW("unknown");
}
