// SPDX-License-Identifier: Apache-2.0
#include "probe/container.h"

#include <string.h>

#define ID_HEX 64
#define ECS_TASK_HEX 32
#define ECS_SUFFIX_DIGITS_MIN 6
#define ECS_SUFFIX_DIGITS_MAX 20

/* The next piece of *rest up to `by`, which is skipped. false: nothing is left. */
static bool next_piece(struct view *rest, char by, struct view *ret)
{
	const char *at;

	if (!rest->at)
		return false;
	at = memchr(rest->at, by, rest->len);
	*ret = (struct view){ rest->at, at ? (size_t)(at - rest->at) : rest->len };
	if (at)
		*rest = (struct view){ at + 1, rest->len - ret->len - 1 };
	else
		*rest = (struct view){ NULL, 0 };
	return true;
}

static bool starts_with(struct view v, const char *prefix)
{
	size_t n = strlen(prefix);

	return v.len >= n && !memcmp(v.at, prefix, n);
}

static bool drop_suffix(struct view *v, const char *suffix)
{
	size_t n = strlen(suffix);

	if (v->len < n || memcmp(v->at + v->len - n, suffix, n))
		return false;
	v->len -= n;
	return true;
}

static size_t hex_length(struct view v)
{
	size_t n = 0;

	while (n < v.len &&
	       ((v.at[n] >= '0' && v.at[n] <= '9') || (v.at[n] >= 'a' && v.at[n] <= 'f')))
		n++;
	return n;
}

static bool is_ecs_id(struct view v)
{
	size_t digits;

	if (hex_length(v) != ECS_TASK_HEX || v.len <= ECS_TASK_HEX + 1 || v.at[ECS_TASK_HEX] != '-')
		return false;
	digits = v.len - ECS_TASK_HEX - 1;
	if (digits < ECS_SUFFIX_DIGITS_MIN || digits > ECS_SUFFIX_DIGITS_MAX)
		return false;
	for (size_t i = ECS_TASK_HEX + 1; i < v.len; i++)
		if (v.at[i] < '0' || v.at[i] > '9')
			return false;
	return true;
}

static void copy_id(struct view id, char ret[CONTAINER_ID_BYTES])
{
	memcpy(ret, id.at, id.len);
	ret[id.len] = '\0';
}

/* One component of a path: [engine- or …:engine:]ID[.scope]. */
static bool component_id(struct view part, char ret[CONTAINER_ID_BYTES])
{
	const char *at;

	if (is_ecs_id(part)) {
		copy_id(part, ret);
		return true;
	}
	drop_suffix(&part, ".scope");
	if (part.len < ID_HEX)
		return false;
	/* conmon is Podman's and CRI-O's monitor, outside of the container that it watches. */
	if (starts_with(part, "crio-conmon-") || starts_with(part, "libpod-conmon-"))
		return false;
	at = part.at + part.len - ID_HEX;
	if (hex_length((struct view){ at, ID_HEX }) != ID_HEX)
		return false;
	if (at > part.at && at[-1] != '-' && at[-1] != ':')
		return false;
	copy_id((struct view){ at, ID_HEX }, ret);
	return true;
}

/* The path of one line of /proc/PID/cgroup: hierarchy:controllers:path. */
static bool line_path(struct view line, struct view *ret)
{
	struct view part, rest = line;

	if (!next_piece(&rest, ':', &part) || !next_piece(&rest, ':', &part) || !rest.at)
		return false;
	*ret = rest;
	return true;
}

bool container__from_cgroup(struct view text, char ret[CONTAINER_ID_BYTES])
{
	struct view line, path, part;
	bool found = false;

	while (!found && next_piece(&text, '\n', &line)) {
		if (!line_path(line, &path))
			continue;
		while (next_piece(&path, '/', &part))
			found |= component_id(part, ret);
	}
	return found;
}

/*
 * Root of the mount (field 4), e.g. /var/lib/docker/containers/ID/hostname,
 * /containers/storage/overlay-containers/ID/userdata/hostname,
 * /run/containerd/io.containerd.grpc.v1.cri/sandboxes/ID/hostname (that is the pod's sandbox: not
 * the container, not taken).
 */
static bool mount_id(struct view root, char ret[CONTAINER_ID_BYTES])
{
	struct view part, before = { NULL, 0 };

	while (next_piece(&root, '/', &part)) {
		bool holder = view_eq(before, VIEW("containers")) ||
			      view_eq(before, VIEW("overlay-containers"));

		if (holder && part.len == ID_HEX && hex_length(part) == ID_HEX) {
			copy_id(part, ret);
			return true;
		}
		before = part;
	}
	return false;
}

bool container__from_mountinfo(struct view text, char ret[CONTAINER_ID_BYTES])
{
	struct view line, field;

	while (next_piece(&text, '\n', &line)) {
		struct view root = { NULL, 0 }, target = { NULL, 0 };

		for (int i = 1; i <= 5 && next_piece(&line, ' ', &field); i++) {
			if (i == 4)
				root = field;
			else if (i == 5)
				target = field;
		}
		if (!view_eq(target, VIEW("/etc/hostname")) &&
		    !view_eq(target, VIEW("/etc/resolv.conf")) &&
		    !view_eq(target, VIEW("/etc/hosts")))
			continue;
		if (mount_id(root, ret))
			return true;
	}
	return false;
}

/* What systemd-run calls a service that was given no name: run-r<hex>, run-u<n>, run-p<n>-i<n>. */
static bool is_transient(struct view unit)
{
	size_t hex;

	if (unit.len < 6 || !starts_with(unit, "run-") || !memchr("rup", unit.at[4], 3))
		return false;
	hex = hex_length((struct view){ unit.at + 5, unit.len - 5 });
	return hex && (hex == unit.len - 5 || unit.at[5 + hex] == '-');
}

/* Units that began a process and say nothing of what it does. */
static bool is_launcher(struct view unit)
{
	static const char *const prefixes[] = {
		"user@", "user-runtime-dir@", "getty@", "serial-getty@", "console-getty", "ssh@",
		"sshd@",
	};
	static const char *const names[] = {
		"ssh", "sshd", "cron",	      "crond",	  "cronie",
		"atd", "dbus", "dbus-broker", "rc-local", "systemd-logind",
	};

	if (is_transient(unit))
		return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (starts_with(unit, prefixes[i]))
			return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (view_eq(unit, view_of(names[i])))
			return true;
	return false;
}

static bool path_unit(struct view path, char ret[UNIT_NAME_BYTES])
{
	struct view part;
	bool found = false;

	while (next_piece(&path, '/', &part)) {
		if (!drop_suffix(&part, ".service") || !part.len || part.len >= UNIT_NAME_BYTES)
			continue;
		found = !is_launcher(part);
		if (!found)
			continue;
		memcpy(ret, part.at, part.len);
		ret[part.len] = '\0';
	}
	return found;
}

bool container__unit(struct view text, char ret[UNIT_NAME_BYTES])
{
	struct view line, path;

	while (next_piece(&text, '\n', &line)) {
		/* systemd keeps its own tree in v1's name=systemd and in v2's "0::" */
		if (!starts_with(line, "0::") && !memmem(line.at, line.len, ":name=systemd:", 14))
			continue;
		if (line_path(line, &path) && path_unit(path, ret))
			return true;
	}
	return false;
}
