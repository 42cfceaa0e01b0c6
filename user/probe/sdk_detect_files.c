// SPDX-License-Identifier: Apache-2.0
#include "probe/sdk_detect_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe/identity_runtime.h"
#include "probe/sdk_detect_search.h"

#define LOCKFILE_MAX_BYTES (256 * 1024)

static bool look_node(struct search *s, struct view folder)
{
	return search__upwards(s, folder, "node_modules");
}

static bool look_vendor(struct search *s, struct view folder)
{
	return search__upwards(s, folder, "vendor");
}

static bool node_installed(struct search *s)
{
	static const char *const names[] = {
		"@opentelemetry/sdk-trace-base",
		"@opentelemetry/sdk-trace-node",
		"@opentelemetry/sdk-node",
		"@opentelemetry/auto-instrumentations-node",
		"@splunk/otel",
		"dd-trace",
		"zipkin",
		"jaeger-client",
		NULL,
	};
	struct view list, folder;

	s->names = names;
	if (environ__get(s->facts->process->environ, "NODE_PATH", &list))
		while (search__element(&list, &folder))
			if (search__folder(s, folder))
				return true;
	return search__scripts(s, look_node);
}

/* "3.11" of /usr/bin/python3.11 or of a mapped /usr/lib/python3.11/…; false: not seen. */
static bool python_version(const struct search *s, char to[8])
{
	struct view exe = s->facts->process->exe_name, maps = s->facts->maps, path, base;
	unsigned int major, minor;
	char text[32];
	const char *at;

	snprintf(text, sizeof(text), "%.*s", (int)(exe.len < 31 ? exe.len : 31), exe.at);
	if (sscanf(text, "python%1u.%2u", &major, &minor) == 2)
		goto found;
	while (maps__next(&maps, &path, &base)) {
		at = path.len ? memmem(path.at, path.len, "/lib/python", 11) : NULL;
		if (!at)
			continue;
		snprintf(text, sizeof(text), "%.*s",
			 (int)(path.at + path.len - at) < 31 ? (int)(path.at + path.len - at) : 31,
			 at);
		if (sscanf(text, "/lib/python%1u.%2u", &major, &minor) == 2)
			goto found;
	}
	return false;
found:
	snprintf(to, 8, "%u.%u", major, minor);
	return true;
}

static bool python_prefix(struct search *s, struct view prefix, const char *version)
{
	return prefix.len &&
	       (search__folderf(s, "%.*s/lib/python%s/site-packages", (int)prefix.len, prefix.at,
				version) ||
		search__folderf(s, "%.*s/lib64/python%s/site-packages", (int)prefix.len, prefix.at,
				version) ||
		search__folderf(s, "%.*s/lib/python%s/dist-packages", (int)prefix.len, prefix.at,
				version) ||
		search__folderf(s, "%.*s/lib/python3/dist-packages", (int)prefix.len, prefix.at));
}

/*
 * The prefix of a virtual environment: the folder above that of the first argument, which Python
 * itself goes by (a name without a slash is looked for in PATH, as it does).
 */
static bool python_environment(struct search *s, const char *version)
{
	struct view rest = s->facts->process->cmdline, arg, list, folder;
	char path[PATH_MAX];

	if (!arguments__next(&rest, &arg) || !arg.len)
		return false;
	if (memchr(arg.at, '/', arg.len))
		return search__absolute(s, arg, path) &&
		       python_prefix(s, search__parent(search__parent(view_of(path))), version);
	if (!environ__get(s->facts->process->environ, "PATH", &list))
		return false;
	while (search__element(&list, &folder)) {
		if (snprintf(path, sizeof(path), "%.*s/%.*s", (int)folder.len, folder.at,
			     (int)arg.len, arg.at) >= (int)sizeof(path))
			continue;
		if (!search__exists(s, path))
			continue;
		return python_prefix(s, search__parent(folder), version);
	}
	return false;
}

/* Package folders of which something is mapped. */
static bool python_mapped(struct search *s)
{
	static const char *const folders[] = { "/site-packages/", "/dist-packages/" };
	struct view maps = s->facts->maps, path, base, before = { NULL, 0 };

	while (maps__next(&maps, &path, &base)) {
		for (int i = 0; path.len && i < 2; i++) {
			const char *at = memmem(path.at, path.len, folders[i], strlen(folders[i]));
			struct view folder;

			if (!at)
				continue;
			folder = (struct view){ path.at,
						(size_t)(at - path.at) + strlen(folders[i]) };
			if (view_eq(folder, before))
				continue;
			before = folder;
			if (search__folder(s, folder))
				return true;
		}
	}
	return false;
}

static bool python_installed(struct search *s)
{
	static const char *const names[] = {
		"opentelemetry/sdk", "ddtrace", "jaeger_client", "py_zipkin", "opencensus", NULL,
	};
	struct view environ = s->facts->process->environ, list, folder;
	char version[8];

	s->names = names;
	if (python_mapped(s))
		return true;
	if (environ__get(environ, "PYTHONPATH", &list))
		while (search__element(&list, &folder))
			if (search__folder(s, folder))
				return true;
	if (python_version(s, version)) {
		if (python_environment(s, version))
			return true;
		if (environ__get(environ, "VIRTUAL_ENV", &folder) &&
		    python_prefix(s, folder, version))
			return true;
		if (environ__get(environ, "HOME", &folder) &&
		    search__folderf(s, "%.*s/.local/lib/python%s/site-packages", (int)folder.len,
				    folder.at, version))
			return true;
		/* Debian's python3 looks in /usr/local, too */
		if (python_prefix(s, search__parent(search__parent(s->facts->exe_path)), version) ||
		    python_prefix(s, VIEW("/usr/local"), version))
			return true;
	}
	return search__scripts(s, search__folder);
}

/* Whether a text file of the folder, or of those above it, holds the word. */
static bool look_gemfile(struct search *s, struct view folder)
{
	char path[PATH_MAX], *text = malloc(LOCKFILE_MAX_BYTES);
	bool found = false;

	for (int i = 0; text && !found && i < SEARCH_LEVELS_MAX && folder.len; i++) {
		ssize_t n = -1;
		int fd = -1;

		if (snprintf(path, sizeof(path), "%.*s/Gemfile.lock", (int)folder.len, folder.at) <
		    (int)sizeof(path))
			fd = search__open_file(s, path);
		if (fd >= 0) {
			n = read(fd, text, LOCKFILE_MAX_BYTES);
			close(fd);
		}
		found = n > 0 && (memmem(text, (size_t)n, "opentelemetry-sdk", 17) ||
				  memmem(text, (size_t)n, "ddtrace", 7) ||
				  memmem(text, (size_t)n, "datadog (", 9));
		if (folder.len == 1)
			break;
		folder = search__parent(folder);
	}
	free(text);
	return found;
}

/* Gems that are installed for all who use this GEM_HOME; names carry a version. */
static bool ruby_installed(struct search *s)
{
	static const char *const variables[] = { "GEM_HOME", "GEM_PATH" };
	struct view maps = s->facts->maps, path, base, list, folder;
	char gems[PATH_MAX];

	for (int i = 0; i < 2; i++) {
		if (!environ__get(s->facts->process->environ, variables[i], &list))
			continue;
		while (search__element(&list, &folder))
			if (snprintf(gems, sizeof(gems), "%.*s/gems", (int)folder.len, folder.at) <
				    (int)sizeof(gems) &&
			    search__entry(s, gems, "opentelemetry-sdk-"))
				return true;
	}
	while (maps__next(&maps, &path, &base)) {
		const char *at = path.len ? memmem(path.at, path.len, "/gems/", 6) : NULL;

		if (!at || snprintf(gems, sizeof(gems), "%.*s", (int)(at + 5 - path.at), path.at) >=
				   (int)sizeof(gems))
			continue;
		if (search__entry(s, gems, "opentelemetry-sdk-"))
			return true;
		break;
	}
	return search__scripts(s, look_gemfile);
}

static bool php_installed(struct search *s)
{
	static const char *const names[] = { "open-telemetry/sdk", "datadog/dd-trace",
					     "openzipkin/zipkin", NULL };

	s->names = names;
	return search__scripts(s, look_vendor);
}

static bool dotnet_installed(struct search *s)
{
	static const char *const names[] = { "OpenTelemetry.dll", "Datadog.Trace.dll", NULL };

	s->names = names;
	return search__folder(s, search__parent(s->facts->exe_path)) ||
	       search__scripts(s, search__folder);
}

/* A release's libraries: ROOT/lib/opentelemetry-1.4.0. */
static bool beam_installed(struct search *s)
{
	struct view rest = s->facts->process->cmdline, arg, root;
	char path[PATH_MAX];

	if (environ__get(s->facts->process->environ, "RELEASE_ROOT", &root) &&
	    snprintf(path, sizeof(path), "%.*s/lib", (int)root.len, root.at) < (int)sizeof(path) &&
	    search__entry(s, path, "opentelemetry-"))
		return true;
	while (arguments__next(&rest, &arg))
		if (view_eq(arg, VIEW("-root")) && arguments__next(&rest, &root) &&
		    snprintf(path, sizeof(path), "%.*s/lib", (int)root.len, root.at) <
			    (int)sizeof(path) &&
		    search__entry(s, path, "opentelemetry-"))
			return true;
	return false;
}

bool sdk_detect__installed(const struct sdk_facts *facts)
{
	struct search s;
	bool found = false;

	if (search__begin(&s, facts))
		return true; /* nothing can be looked up: not known to have none */
	switch (facts->runtime) {
	case RUNTIME_NODE:
		found = node_installed(&s);
		break;
	case RUNTIME_PYTHON:
		found = python_installed(&s);
		break;
	case RUNTIME_JAVA:
		found = sdk_detect__java(&s);
		break;
	case RUNTIME_RUBY:
		found = ruby_installed(&s);
		break;
	case RUNTIME_PHP:
		found = php_installed(&s);
		break;
	case RUNTIME_DOTNET:
		found = dotnet_installed(&s);
		break;
	case RUNTIME_BEAM:
		found = beam_installed(&s);
		break;
	default:
		break;
	}
	search__end(&s);
	return found || s.skipped;
}
