// SPDX-License-Identifier: Apache-2.0
#include "ship/store/digest.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ship/store/terms.h"

#define SLOTS (2 * DIGEST_OPERATIONS_MAX)

struct encoded_head {
	uint64_t spans, oldest_ns, newest_ns, first_ns, last_ns;
	uint32_t crowded, n;
};

struct encoded_operation {
	uint64_t spans, first_ns, last_ns;
	uint32_t kind;
	uint16_t service_len, name_len;
};

static struct view shortened(struct view v)
{
	return (struct view){ v.at, v.len < DIGEST_NAME_MAX ? v.len : DIGEST_NAME_MAX };
}

struct view digest__service(const struct digest *s, const struct digest_operation *op)
{
	return (struct view){ (const char *)s->text.at + op->service, op->service_len };
}

struct view digest__name(const struct digest *s, const struct digest_operation *op)
{
	return (struct view){ (const char *)s->text.at + op->name, op->name_len };
}

static bool grow(struct digest *s)
{
	unsigned int cap = s->cap ? 2 * s->cap : 16;
	struct digest_operation *bigger = reallocarray(s->operations, cap, sizeof(*bigger));

	if (!bigger)
		return false;
	s->operations = bigger;
	s->cap = cap;
	return true;
}

/* NULL: no memory, or (crowded) no room. */
static struct digest_operation *add_operation(struct digest *s, struct view service,
					      struct view name, uint32_t kind)
{
	struct digest_operation *op;

	if (s->n == DIGEST_OPERATIONS_MAX ||
	    s->text.len + service.len + name.len > DIGEST_TEXT_MAX) {
		s->crowded = true;
		return NULL;
	}
	if ((s->n == s->cap && !grow(s)) || !buf__reserve(&s->text, service.len + name.len + 1))
		return NULL;
	op = &s->operations[s->n++];
	*op = (struct digest_operation){ .service = (uint32_t)s->text.len,
					 .service_len = (uint16_t)service.len,
					 .name = (uint32_t)(s->text.len + service.len),
					 .name_len = (uint16_t)name.len,
					 .kind = kind,
					 .first_ns = UINT64_MAX };
	buf__add_view(&s->text, service);
	buf__add_view(&s->text, name);
	return op;
}

static struct digest_operation *find_or_add(struct digest *s, struct view service, struct view name,
					    uint32_t kind)
{
	uint64_t hash = term__text(service, name) + kind * 0x9e3779b97f4a7c15ull;
	struct digest_operation *op;
	unsigned int slot;

	if (!s->slots)
		s->slots = calloc(SLOTS, sizeof(*s->slots));
	if (!s->slots)
		return NULL;
	for (slot = (unsigned int)(hash % SLOTS); s->slots[slot]; slot = (slot + 1) % SLOTS) {
		op = &s->operations[s->slots[slot] - 1];
		if (op->kind == kind && view_eq(digest__service(s, op), service) &&
		    view_eq(digest__name(s, op), name))
			return op;
	}
	op = add_operation(s, service, name, kind);
	if (op)
		s->slots[slot] = (uint16_t)s->n;
	return op;
}

static void widen(uint64_t *first, uint64_t *last, uint64_t low, uint64_t high)
{
	*first = low < *first ? low : *first;
	*last = high > *last ? high : *last;
}

/* Of all together: there is one more to come. */
static void widen_all(struct digest *s, uint64_t oldest, uint64_t newest, uint64_t first,
		      uint64_t last)
{
	if (!s->spans)
		s->oldest_ns = s->first_ns = UINT64_MAX;
	widen(&s->oldest_ns, &s->newest_ns, oldest, newest);
	widen(&s->first_ns, &s->last_ns, first, last);
}

static int count(struct digest *s, struct digest_operation *op, uint64_t spans, uint64_t first,
		 uint64_t last)
{
	if (!op)
		return s->crowded ? 0 : -ENOMEM;
	op->spans += spans;
	widen(&op->first_ns, &op->last_ns, first, last);
	return 0;
}

int digest__add(struct digest *s, const struct row *row)
{
	uint64_t start = row->span.start_ns;
	struct digest_operation *op =
		find_or_add(s, shortened(row->service), shortened(row->span.name),
			    row->span.kind < 6 ? row->span.kind : 0);

	widen_all(s, start, start + row->duration_ns, start, start);
	s->spans++;
	return count(s, op, 1, start, start);
}

int digest__encode(const struct digest *s, struct buf *out)
{
	struct encoded_head head = { .spans = htole64(s->spans),
				     .oldest_ns = htole64(s->oldest_ns),
				     .newest_ns = htole64(s->newest_ns),
				     .first_ns = htole64(s->first_ns),
				     .last_ns = htole64(s->last_ns),
				     .crowded = htole32(s->crowded),
				     .n = htole32(s->n) };

	buf__clear(out);
	buf__add(out, &head, sizeof(head));
	for (unsigned int i = 0; i < s->n; i++) {
		const struct digest_operation *op = &s->operations[i];
		struct encoded_operation e = { .spans = htole64(op->spans),
					       .first_ns = htole64(op->first_ns),
					       .last_ns = htole64(op->last_ns),
					       .kind = htole32(op->kind),
					       .service_len = htole16(op->service_len),
					       .name_len = htole16(op->name_len) };

		buf__add(out, &e, sizeof(e));
		buf__add_view(out, digest__service(s, op));
		buf__add_view(out, digest__name(s, op));
	}
	posting__seal(out, 0);
	return out->err;
}

/* The next operation; false: there are no more bytes, or they are damaged. */
static bool take_operation(struct view *bytes, struct encoded_operation *ret, struct view *service,
			   struct view *name)
{
	if (bytes->len < sizeof(*ret))
		return false;
	memcpy(ret, bytes->at, sizeof(*ret));
	bytes->at += sizeof(*ret);
	bytes->len -= sizeof(*ret);
	*service = (struct view){ bytes->at, le16toh(ret->service_len) };
	*name = (struct view){ bytes->at + service->len, le16toh(ret->name_len) };
	if (service->len + name->len > bytes->len || service->len > DIGEST_NAME_MAX ||
	    name->len > DIGEST_NAME_MAX || le32toh(ret->kind) > 5)
		return false;
	bytes->at += service->len + name->len;
	bytes->len -= service->len + name->len;
	return true;
}

static bool sound(struct view bytes, uint32_t n)
{
	struct encoded_operation op;
	struct view service, name;

	if (n > DIGEST_OPERATIONS_MAX)
		return false;
	while (n--)
		if (!take_operation(&bytes, &op, &service, &name))
			return false;
	return !bytes.len;
}

int digest__merge(struct digest *s, struct view bytes, uint64_t *ret_first_ns,
		  uint64_t *ret_last_ns)
{
	struct encoded_operation op;
	struct encoded_head head;
	struct view service, name;
	int ret = 0;

	if (!posting__unseal(&bytes) || bytes.len < sizeof(head))
		return -EPROTO;
	memcpy(&head, bytes.at, sizeof(head));
	bytes.at += sizeof(head);
	bytes.len -= sizeof(head);
	if (!sound(bytes, le32toh(head.n)))
		return -EPROTO;
	*ret_first_ns = le64toh(head.first_ns);
	*ret_last_ns = le64toh(head.last_ns);
	if (!head.spans)
		return 0;
	widen_all(s, le64toh(head.oldest_ns), le64toh(head.newest_ns), *ret_first_ns, *ret_last_ns);
	s->spans += le64toh(head.spans);
	s->crowded = s->crowded || head.crowded;
	while (!ret && take_operation(&bytes, &op, &service, &name))
		ret = count(s, find_or_add(s, service, name, le32toh(op.kind)), le64toh(op.spans),
			    le64toh(op.first_ns), le64toh(op.last_ns));
	return ret;
}

void digest__clear(struct digest *s)
{
	struct digest_operation *operations = s->operations;
	struct buf text = s->text;
	uint16_t *slots = s->slots;
	unsigned int cap = s->cap;

	buf__clear(&text);
	if (slots)
		memset(slots, 0, SLOTS * sizeof(*slots));
	*s = (struct digest){ .operations = operations, .cap = cap, .text = text, .slots = slots };
}

void digest__free(struct digest *s)
{
	free(s->operations);
	free(s->slots);
	buf__free(&s->text);
	*s = (struct digest){ 0 };
}
