// SPDX-License-Identifier: Apache-2.0
/*
 * What probe reads of a process, which may have written all of it: the first byte says how many
 * parts the rest is cut into by 0xff; they are cmdline, environ, cgroup, mountinfo, maps, cwd.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "probe/container.h"
#include "probe/identity_attributes.h"
#include "probe/identity_mounts.h"
#include "probe/identity_runtime.h"
#include "probe/procfs.h"
#include "probe/sdk_detect.h"
#include "probe/service_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char *const exes[] = { "python3.11", "node",	"java", "ruby3.1",
				    "php8.2",	  "dotnet",	"perl", "beam.smp",
				    "bash",	  "uwsgi-core", "deno", "nginx" };

enum { CMDLINE, ENVIRON, CGROUP, MOUNTS, MAPS, CWD, PARTS };

/* Every attribute must be clean UTF-8 without control characters: the cleaner is idempotent on it. */
static void check_clean(struct view v)
{
	struct attributes again = { 0 };
	struct view value;

	attributes__set(&again, VIEW("k"), v);
	if (!attributes__get(&again, VIEW("k"), &value) || !view_eq(value, v))
		abort();
	buf__free(&again.bytes);
}

static void attributes(struct view environ)
{
	struct attributes a = { 0 };
	struct view value;

	attributes__parse(&a, environ);
	if (environ__get(environ, "OTEL_RESOURCE_ATTRIBUTES", &value))
		attributes__parse(&a, value);
	if (a.bytes.len > ATTRIBUTES_OWN_MAX_BYTES * 3 + 8192)
		abort();
	if (attributes__get(&a, VIEW("a"), &value))
		check_clean(value);
	buf__free(&a.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct view parts[PARTS] = { { NULL, 0 } };
	char id[CONTAINER_ID_BYTES], unit[UNIT_NAME_BYTES], name[SERVICE_NAME_BYTES], state;
	struct service_facts process;
	struct sdk_facts sdk;
	uint64_t ticks;

	if (!len)
		return 0;
	process = (struct service_facts){ .exe_name = view_of(exes[bytes[0] % 12]) };
	bytes++;
	len--;
	for (int i = 0; i < PARTS && len; i++) {
		const uint8_t *end = memchr(bytes, 0xff, len);
		size_t n = end ? (size_t)(end - bytes) : len;

		parts[i] = (struct view){ (const char *)bytes, n };
		bytes += n + (end != NULL);
		len -= n + (end != NULL);
	}
	process.cmdline = parts[CMDLINE];
	process.environ = parts[ENVIRON];
	process.cwd = parts[CWD];
	container__from_cgroup(parts[CGROUP], id);
	if (container__unit(parts[CGROUP], unit))
		process.unit = view_of(unit);
	container__from_mountinfo(parts[MOUNTS], id);
	mounts__any_waits(parts[MOUNTS]);
	mounts__path_waits(parts[MOUNTS], parts[CWD]);
	mounts__id_waits(parts[MOUNTS], len);
	service_name__choose(&process, name);
	if (!name[0] || !memchr(name, 0, sizeof(name)))
		abort();
	attributes(parts[ENVIRON]);
	sdk = (struct sdk_facts){ .process = &process,
				  .maps = parts[MAPS],
				  .proc = -1,
				  .runtime = runtime__from_maps(parts[MAPS]) };
	sdk_detect__loaded(&sdk);
	procfs__parse_stat(parts[CMDLINE].at ? parts[CMDLINE].at : "", parts[CMDLINE].len, &ticks,
			   &state);
	return 0;
}
