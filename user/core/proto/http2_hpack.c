// SPDX-License-Identifier: Apache-2.0
/*
 * Header blocks (RFC 7541), by libnghttp2's inflater.
 *
 * Where blocks were missed, the dynamic table holds entries that nobody here knows, and every index counts from
 * the newest. So a new inflater is filled with as many entries that say "not known" as fit: what is
 * inserted from then on is known by the same index as at both ends, and pushes them out. Ours are as small as an
 * entry can be, so that the true table has no more of them, and no index leads past ours.
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>

#include "core/proto/http2.h"

/* RFC 7541 section 4.1. */
#define TABLE_DEFAULT_BYTES 4096
#define TABLE_MAX_BYTES 65536
#define ENTRY_BYTES 32
/* No field has this name: it is the smallest that can be put into a table and told from all others. */
#define UNKNOWN_NAME 1
#define UNKNOWN_BYTES (ENTRY_BYTES + 1)

static bool is_unknown(const nghttp2_nv *nv)
{
	return nv->namelen == 1 && nv->name[0] == UNKNOWN_NAME;
}

static int feed(struct hpack *hpack, const uint8_t *at, size_t len, bool final, hpack_fn *fn,
		void *arg)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(hpack->inflater, &nv, &flags, at, len, final);

		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
		at += n;
		len -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT && fn) {
			struct hpack_field field = {
				.name = { (const char *)nv.name, nv.namelen },
				.value = { (const char *)nv.value, nv.valuelen },
				.name_unknown = is_unknown(&nv),
			};

			/* of an entry that is not known the value is not either */
			field.value_unknown = field.name_unknown && !nv.valuelen;
			fn(arg, &field);
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !len)
			break;
	}
	nghttp2_hd_inflate_end_headers(hpack->inflater);
	return 0;
}

/* Fills the table with entries that say that they are not known. */
static int fill(struct hpack *hpack)
{
	/* literal, to be indexed, with a new name of one byte and no value (RFC 7541 section 6.2.1) */
	static const uint8_t entry[] = { 0x40, 1, UNKNOWN_NAME, 0 };
	uint8_t block[TABLE_DEFAULT_BYTES / UNKNOWN_BYTES * sizeof(entry)];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = entry[i % sizeof(entry)];
	return feed(hpack, block, sizeof(block), true, NULL, NULL);
}

static int make(struct hpack *hpack)
{
	int err;

	if (nghttp2_hd_inflate_new(&hpack->inflater)) {
		hpack->inflater = NULL;
		return -ENOMEM;
	}
	err = hpack->partial ? fill(hpack) : 0;
	if (!err && hpack->table_bytes > TABLE_DEFAULT_BYTES &&
	    nghttp2_hd_inflate_change_table_size(hpack->inflater, hpack->table_bytes))
		err = -ENOMEM;
	if (err)
		hpack__release(hpack);
	return err;
}

int hpack__block(struct hpack *hpack, struct view block, hpack_fn *fn, void *arg)
{
	int err = hpack->inflater ? 0 : make(hpack);

	if (!err)
		err = feed(hpack, (const uint8_t *)(block.len ? block.at : ""), block.len, true, fn,
			   arg);
	if (err)
		hpack__lost(hpack);
	return err;
}

void hpack__lost(struct hpack *hpack)
{
	hpack__release(hpack);
	hpack->partial = true;
}

void hpack__allow(struct hpack *hpack, uint32_t bytes)
{
	if (bytes > TABLE_MAX_BYTES)
		bytes = TABLE_MAX_BYTES;
	/*
	 * Never less: what is larger than the true one holds what is not referred to any more, and the
	 * other end says itself when it makes its table smaller.
	 */
	if (bytes <= hpack->table_bytes || bytes <= TABLE_DEFAULT_BYTES)
		return;
	hpack->table_bytes = bytes;
	if (hpack->inflater && nghttp2_hd_inflate_change_table_size(hpack->inflater, bytes))
		hpack__lost(hpack);
}

void hpack__release(struct hpack *hpack)
{
	if (hpack->inflater)
		nghttp2_hd_inflate_del(hpack->inflater);
	hpack->inflater = NULL;
}
