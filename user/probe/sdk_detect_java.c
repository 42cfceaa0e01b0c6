// SPDX-License-Identifier: Apache-2.0
/* Java: what is in the class path. */
#include <stdio.h>
#include <string.h>

#include "probe/sdk_detect_files.h"
#include "probe/sdk_detect_search.h"

static bool ends_with(struct view v, const char *end)
{
	size_t n = strlen(end);

	return v.len > n && !memcmp(v.at + v.len - n, end, n);
}

/* The class path: the last that the options name, else the environment's. */
static bool class_path(const struct service_facts *process, struct view *ret)
{
	struct view rest = process->cmdline, arg;
	bool found = false;

	while (arguments__next(&rest, &arg)) {
		if (view_eq(arg, VIEW("-cp")) || view_eq(arg, VIEW("-classpath")) ||
		    view_eq(arg, VIEW("--class-path")))
			found |= arguments__next(&rest, ret);
		else if (view_eq(arg, VIEW("-jar")))
			break;
	}
	return found || environ__get(process->environ, "CLASSPATH", ret);
}

/* Folders of the class path ("lib/" and a star): one archive a library, named after it. */
bool sdk_detect__java(struct search *s)
{
	struct view list, folder;
	char path[PATH_MAX];

	if (!class_path(s->facts->process, &list))
		return false;
	while (search__element(&list, &folder)) {
		if (!folder.len || folder.at[folder.len - 1] != '*')
			continue;
		folder.len--;
		if (search__absolute(s, folder, path) &&
		    search__entry(s, path, "opentelemetry-sdk"))
			return true;
	}
	return false;
}

/* -jar's value, else the first archive of the class path. */
static bool archive(const struct service_facts *process, struct view *ret)
{
	struct view rest = process->cmdline, arg, list;

	while (arguments__next(&rest, &arg))
		if (view_eq(arg, VIEW("-jar")))
			return arguments__next(&rest, ret);
	if (!class_path(process, &list))
		return false;
	while (search__element(&list, ret))
		if (ends_with(*ret, ".jar"))
			return true;
	return false;
}

int sdk_detect__archive(const struct sdk_facts *facts)
{
	struct view name;
	struct search s;
	char path[PATH_MAX];
	int fd = -1;

	if (!archive(facts->process, &name) || search__begin(&s, facts))
		return -1; /* nothing was opened */
	if (search__absolute(&s, name, path))
		fd = search__open_file(&s, path);
	search__end(&s);
	return fd < 0 ? -1 : fd;
}
