// SPDX-License-Identifier: Apache-2.0
#include "serve/catalogue.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ship/store/file.h"
#include "ship/store/reader.h"
#include "ship/store/digest.h"

struct segment_times {
	uint64_t first_ns, last_ns; /* begins */
};

struct part {
	uint64_t number;
	struct store_place place;
	struct digest digest;
	struct segment_times *segments;
	size_t n_segments;
	uint64_t base; /* of segments: the number of the first one */
	int64_t changed_s;
	uint64_t bytes; /* when it was read to its end */
	bool complete, seen, failed;
};

struct catalogue {
	struct part *parts; /* by number */
	unsigned int n;
	unsigned int damaged;
	uint64_t bytes;
	struct err why; /* one could not be read */
	/* while it reads */
	uint64_t until_ns;
	struct part *part;
	bool out_of_time;
};

struct catalogue *catalogue__new(void)
{
	return calloc(1, sizeof(struct catalogue));
}

static void free_part(struct part *p)
{
	digest__free(&p->digest);
	free(p->segments);
}

static bool stop(void *arg)
{
	struct catalogue *c = arg;

	c->out_of_time = clock__boot_ns() >= c->until_ns;
	return c->out_of_time;
}

static struct segment_times *segment_of(struct part *p, uint64_t number)
{
	struct segment_times *bigger;
	size_t n;

	if (!p->n_segments)
		p->base = number;
	if (number < p->base || number - p->base > 1u << 20)
		return NULL;
	n = (size_t)(number - p->base) + 1;
	if (n > p->n_segments) {
		bigger = reallocarray(p->segments, n, sizeof(*bigger));
		if (!bigger)
			return NULL;
		p->segments = bigger;
		for (; p->n_segments < n; p->n_segments++)
			bigger[p->n_segments] = (struct segment_times){ UINT64_MAX, 0 };
	}
	return &p->segments[n - 1];
}

static void widen(uint64_t *first, uint64_t *last, uint64_t low, uint64_t high)
{
	*first = low < *first ? low : *first;
	*last = high > *last ? high : *last;
}

static void on_span(void *arg, uint64_t segment, const struct row *row)
{
	struct catalogue *c = arg;
	struct segment_times *times = segment_of(c->part, segment);
	uint64_t start = row->span.start_ns;

	if (digest__add(&c->part->digest, row))
		c->part->digest.crowded = true;
	if (times)
		widen(&times->first_ns, &times->last_ns, start, start);
}

static bool on_digest(void *arg, uint64_t segment, struct view bytes)
{
	struct catalogue *c = arg;
	struct segment_times *times;
	uint64_t first, last;
	int ret = digest__merge(&c->part->digest, bytes, &first, &last);

	if (ret == -EPROTO)
		return false;
	if (ret)
		c->part->digest.crowded = true;
	times = segment_of(c->part, segment);
	if (times)
		widen(&times->first_ns, &times->last_ns, first, last);
	return true;
}

static struct part *part_of(struct catalogue *c, uint64_t number)
{
	struct part *bigger;

	for (unsigned int i = 0; i < c->n; i++)
		if (c->parts[i].number == number)
			return &c->parts[i];
	bigger = reallocarray(c->parts, c->n + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	c->parts = bigger;
	c->parts[c->n] = (struct part){ .number = number };
	return &c->parts[c->n++];
}

/* Those of partitions that have been given up. */
static void drop_unseen(struct catalogue *c)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->n; i++) {
		if (!c->parts[i].seen)
			free_part(&c->parts[i]);
		else
			c->parts[n++] = c->parts[i];
	}
	c->n = n;
}

static void look_at(struct catalogue *c, const struct store_file *file)
{
	struct part *p = part_of(c, file->number);

	if (!p)
		return;
	p->seen = true;
	/* A commit that fits into the log's pages is seen by its time. */
	if (p->bytes != file->bytes || p->changed_s != file->changed_s)
		p->complete = false;
	/* Within the second of the last look there may have been another one. */
	if (p->complete && file->changed_s >= (int64_t)(clock__epoch_ns() / 1000000000u) - 2)
		p->complete = false;
	p->bytes = file->bytes;
	p->changed_s = file->changed_s;
}

static void read_part(struct catalogue *c, struct part *p, const char *folder)
{
	struct store_walk walk = { .stop = stop, .span = on_span, .digest = on_digest, .arg = c };
	struct err err = { "" };
	int ret;

	c->part = p;
	ret = store__walk(folder, p->number, &p->place, &walk, &err);
	p->failed = ret && ret != -ENOENT && ret != -ENODATA;
	if (p->failed)
		c->why = err;
	p->complete = !c->out_of_time;
}

int catalogue__read(struct catalogue *c, const char *folder, uint64_t ns, struct err *err)
{
	struct store_files files;
	int ret = store_files__list(&files, folder, err);

	if (ret)
		return ret;
	c->until_ns = clock__boot_ns() + ns;
	c->damaged = 0;
	c->bytes = files.bytes;
	for (unsigned int i = 0; i < c->n; i++)
		c->parts[i].seen = false;
	for (unsigned int i = 0; i < files.n; i++) {
		c->damaged += files.at[i].damaged;
		if (!files.at[i].damaged)
			look_at(c, &files.at[i]);
	}
	store_files__free(&files);
	drop_unseen(c);
	/* The newest first: they are what is looked at. */
	for (unsigned int i = c->n; i-- > 0 && !stop(c);)
		if (!c->parts[i].complete)
			read_part(c, &c->parts[i], folder);
	for (unsigned int i = 0; i < c->n; i++)
		if (!c->parts[i].complete)
			return 1;
	return 0;
}

void catalogue__totals(const struct catalogue *c, struct catalogue_totals *ret)
{
	*ret = (struct catalogue_totals){ .bytes = c->bytes,
					  .oldest_ns = UINT64_MAX,
					  .partitions = c->n,
					  .damaged = c->damaged,
					  .complete = true };
	for (unsigned int i = 0; i < c->n; i++) {
		const struct part *p = &c->parts[i];

		ret->spans += p->digest.spans;
		if (p->digest.spans)
			widen(&ret->oldest_ns, &ret->newest_ns, p->digest.oldest_ns,
			      p->digest.newest_ns);
		ret->complete = ret->complete && p->complete;
		ret->crowded = ret->crowded || p->digest.crowded;
		ret->unread += p->failed;
	}
	if (!ret->spans)
		ret->oldest_ns = 0;
	if (ret->unread)
		ret->why = c->why.text;
}

void catalogue__each(const struct catalogue *c,
		     void (*each)(void *arg, const struct catalogue_entry *entry), void *arg)
{
	for (unsigned int i = 0; i < c->n; i++) {
		const struct digest *digest = &c->parts[i].digest;

		for (unsigned int k = 0; k < digest->n; k++) {
			const struct digest_operation *op = &digest->operations[k];

			each(arg, &(struct catalogue_entry){ .service = digest__service(digest, op),
							     .name = digest__name(digest, op),
							     .kind = op->kind,
							     .spans = op->spans,
							     .first_ns = op->first_ns,
							     .last_ns = op->last_ns });
		}
	}
}

bool catalogue__outside(const struct catalogue *c, uint64_t partition, uint64_t segment,
			uint64_t start_ns, uint64_t end_ns)
{
	for (unsigned int i = 0; i < c->n; i++) {
		const struct part *p = &c->parts[i];
		const struct segment_times *times;

		if (p->number != partition)
			continue;
		/* Read to its end: the walk is already in a later one. */
		if (segment < p->base || segment - p->base >= p->n_segments ||
		    segment >= p->place.block >> STORE_SEGMENT_BITS)
			return false;
		times = &p->segments[segment - p->base];
		return times->first_ns > end_ns || times->last_ns < start_ns;
	}
	return false;
}

void catalogue__free(struct catalogue *c)
{
	if (!c)
		return;
	for (unsigned int i = 0; i < c->n; i++)
		free_part(&c->parts[i]);
	free(c->parts);
	free(c);
}
