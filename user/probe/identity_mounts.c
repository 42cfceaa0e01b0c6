// SPDX-License-Identifier: Apache-2.0
#include "probe/identity_mounts.h"

#include <string.h>

struct mount {
	uint64_t id;
	struct view target; /* octal escapes as they came */
	struct view type;
};

static bool next_field(struct view *rest, struct view *ret)
{
	const char *blank;

	if (!rest->len)
		return false;
	blank = memchr(rest->at, ' ', rest->len);
	*ret = (struct view){ rest->at, blank ? (size_t)(blank - rest->at) : rest->len };
	rest->at += ret->len + (blank != NULL);
	rest->len -= ret->len + (blank != NULL);
	return true;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" (man 5 proc) */
static bool next_mount(struct view *text, struct mount *ret)
{
	while (text->len) {
		const char *nl = memchr(text->at, '\n', text->len);
		struct view line = { text->at, nl ? (size_t)(nl - text->at) : text->len }, field;
		int n = 0;

		text->at += line.len + (nl != NULL);
		text->len -= line.len + (nl != NULL);
		*ret = (struct mount){ 0 };
		while (next_field(&line, &field)) {
			n++;
			for (size_t i = 0; n == 1 && i < field.len && i < 18; i++)
				ret->id = ret->id * 10 + (uint64_t)(field.at[i] - '0');
			if (n == 5)
				ret->target = field;
			if (n > 6 && view_eq(field, VIEW("-")) && next_field(&line, &ret->type))
				return true;
		}
	}
	return false;
}

static bool waits(struct view type)
{
	static const char *const prefixes[] = { "fuse",	    "nfs",    "cifs", "smb",
						"9p",	    "ceph",   "afs",  "autofs",
						"virtiofs", "lustre", "gpfs", "glusterfs",
						"beegfs",   "ocfs2",  "gfs2", "orangefs",
						"coda" };

	/* "fuseblk" and "fusectl", too: the first waits, of the second nothing is asked */
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		size_t n = strlen(prefixes[i]);

		if (type.len >= n && !memcmp(type.at, prefixes[i], n))
			return true;
	}
	return false;
}

/* The next character of a target: blanks, tabs, newlines and backslashes are written in octal. */
static char next_character(struct view *v)
{
	char c = v->at[0];
	size_t n = 1;

	if (c == '\\' && v->len >= 4) {
		unsigned int octal = 0;

		for (int i = 1; i < 4; i++)
			octal = octal << 3 | ((uint8_t)v->at[i] & 7);
		c = (char)octal;
		n = 4;
	}
	v->at += n;
	v->len -= n;
	return c;
}

static bool is_below(struct view path, struct view target)
{
	char last = '\0';

	while (target.len) {
		last = next_character(&target);
		if (!path.len || path.at[0] != last)
			return false;
		path.at++;
		path.len--;
	}
	return !path.len || path.at[0] == '/' || last == '/';
}

bool mounts__any_waits(struct view mountinfo)
{
	struct mount mount;

	while (next_mount(&mountinfo, &mount))
		if (waits(mount.type))
			return true;
	return false;
}

bool mounts__path_waits(struct view mountinfo, struct view path)
{
	struct mount mount;

	while (next_mount(&mountinfo, &mount))
		if (waits(mount.type) && is_below(path, mount.target))
			return true;
	return false;
}

int mounts__id_waits(struct view mountinfo, uint64_t id)
{
	struct mount mount;

	while (next_mount(&mountinfo, &mount))
		if (mount.id == id)
			return waits(mount.type);
	return -1;
}
