// SPDX-License-Identifier: Apache-2.0
/*
 * Encoded OTLP messages of a stranger: read, turned into JSON (which must be JSON, and UTF-8),
 * into lines and waterfalls (which must hold nothing that a terminal obeys).
 */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp_json.h"
#include "core/otlp_view.h"
#include "ship/console/line.h"
#include "ship/console/waterfall.h"
#include "ship/console/where.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What has a short way says the same by the long one, at every depth that there may be. */
static void check_short_ways(struct view message, unsigned int depth)
{
	struct pb quick = pb__of(message), slow = quick;
	struct pb_field f, same;
	int more;

	do {
		struct otlp_value value;
		struct view key, text, name;

		more = pb__next(&quick, &f);
		if (more != pb__next_any(&slow, &same) || quick.at != slow.at)
			abort();
		if (more <= 0 || f.wire != PB_BYTES)
			continue;
		if (f.number != same.number || f.wire != same.wire || f.bytes.at != same.bytes.at ||
		    f.bytes.len != same.bytes.len)
			abort();
		if (otlp_pair__text(f.bytes, &key, &text) &&
		    (otlp_pair__read(f.bytes, &name, &value) || value.type != OTLP_STRING ||
		     name.at != key.at || name.len != key.len || value.bytes.at != text.at ||
		     value.bytes.len != text.len))
			abort();
		if (depth)
			check_short_ways(f.bytes, depth - 1);
	} while (more > 0);
}

static void check_json(struct view message, int (*write)(struct buf *, struct view))
{
	struct buf out = { .max = 16 << 20 };
	json_t *root;

	if (!write(&out, message) && !out.err) {
		root = json_loadb((const char *)out.at, out.len,
				  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		if (!root)
			abort();
		json_decref(root);
	} else if (!out.err && out.len) {
		abort();
	}
	buf__free(&out);
}

static void check_clean(const struct buf *out, bool unicode)
{
	for (size_t i = 0; i < out->len; i++)
		if ((out->at[i] < 0x20 && out->at[i] != '\n') || out->at[i] == 0x7f ||
		    (!unicode && out->at[i] > 0x7f))
			abort();
}

static void check_console(struct view message, struct view resource, uint8_t bits)
{
	static struct where *where;
	struct line_style style = { .unicode = bits & 1,
				    .headers = bits & 2,
				    .width = bits & 4 ? 80 : 0 };
	struct buf out = { 0 }, spans = { 0 };
	struct blob *blob;
	struct row row;

	if (!where &&
	    where__parse("status>=500 or duration>1ms path~/a or http.route=x or not error", &where,
			 NULL))
		abort();
	if (row__read(&row, message, resource))
		return;
	where__matches(where, &row);
	line__add(&out, &style, &row);
	check_clean(&out, style.unicode);
	buf__clear(&out);
	blob = blob__new(resource);
	if (!blob)
		abort();
	/* Twice: two spans with one id, each perhaps its own parent. */
	for (int i = 0; i < 2; i++)
		if (waterfall__keep(&spans, message, blob))
			abort();
	blob__put(blob);
	waterfall__draw(&out, &spans, &style);
	check_clean(&out, style.unicode);
	waterfall__release(&spans);
	buf__free(&spans);
	buf__free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct view message, resource;
	size_t split;

	if (len < 3)
		return 0;
	/* One byte of options, two that say where the resource ends and the span begins. */
	split = ((size_t)bytes[1] << 8 | bytes[2]) % (len - 2); /* 0 to len - 3 */
	resource = (struct view){ (const char *)bytes + 3, split };
	message = (struct view){ (const char *)bytes + 3 + split, len - 3 - split };
	check_short_ways(message, 2);
	check_json(message, otlp_json__span);
	check_json(resource, otlp_json__resource);
	check_json(resource, otlp_json__scope);
	check_console(message, resource, bytes[0]);
	return 0;
}
