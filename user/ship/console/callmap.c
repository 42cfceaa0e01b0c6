// SPDX-License-Identifier: Apache-2.0
#include "ship/console/callmap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/siphash.h"

#define NAME_MAX_BYTES 512
#define NO_PEER UINT32_MAX
#define NODES_MAX (CALLMAP_SERVICES_MAX + CALLMAP_PEERS_MAX)
/* Whoever makes up ids that meet in one place loses these spans' links, and nobody waits. */
#define TRIES_MAX 256

enum { KIND_SERVER = 2, KIND_CLIENT = 3, KIND_PRODUCER = 4, KIND_CONSUMER = 5 };

struct callmap_span {
	uint8_t trace[16];
	uint64_t id, parent, start_ns, duration_ns;
	uint32_t peer;		    /* of a client: number in peers */
	uint16_t service, answered; /* answered: 1 + the service that did */
	uint8_t kind;
	bool error, counts, relayed; /* relayed: a call of a lower layer was made for it */
	bool told, linked; /* as a request of its service; with its parent, or it has none */
};

void callmap__init(struct callmap *m, uint64_t start_ns, uint64_t end_ns, uint64_t now_ns)
{
	*m = (struct callmap){ .start_ns = start_ns,
			       .end_ns = end_ns,
			       .now_ns = now_ns,
			       .services = { .max = CALLMAP_SERVICES_MAX },
			       .peers = { .max = CALLMAP_PEERS_MAX } };
}

static uint64_t id_of(struct view id)
{
	uint64_t ret = 0;

	if (id.len == sizeof(ret))
		memcpy(&ret, id.at, sizeof(ret));
	return ret;
}

static struct view cut(struct view v)
{
	return (struct view){ v.at, v.len < NAME_MAX_BYTES ? v.len : NAME_MAX_BYTES };
}

/* What kind of system is called, where the span says so. */
static struct view system_of(const struct row *row)
{
	static const char *const names[] = { "db.system.name", "db.system", "messaging.system" };
	struct otlp_attributes it = otlp_attributes__of(row->span.message, OTLP_SPAN_ATTRIBUTES);
	struct otlp_value value;
	struct view key;

	while (otlp_attributes__next(&it, &key, &value) > 0)
		for (int i = 0; i < 3; i++)
			if (value.type == OTLP_STRING && view_eq(key, view_of(names[i])))
				return cut(value.bytes);
	return (struct view){ "", 0 };
}

/* "postgresql db:5432" */
static uint32_t peer_of(struct callmap *m, const struct row *row)
{
	struct view system = system_of(row), address = cut(row->peer);
	struct buf name = { 0 };
	long number;

	buf__add_view(&name, system);
	buf__add_str(&name, system.len ? " " : "");
	if (!address.len)
		buf__add_str(&name, "(address not known)");
	buf__add_view(&name, address);
	if (address.len && row->peer_port > 0)
		buf__printf(&name, ":%lld", (long long)row->peer_port);
	number = name.err ?
			 -ENOMEM :
			 intern__add(&m->peers, (struct view){ (const char *)name.at, name.len });
	buf__free(&name);
	return number < 0 ? NO_PEER : (uint32_t)number;
}

static bool calls(const struct callmap_span *s)
{
	return s->kind == KIND_CLIENT || s->kind == KIND_PRODUCER;
}

static bool is_asked(const struct callmap_span *s)
{
	return s->kind == KIND_SERVER || s->kind == KIND_CONSUMER;
}

bool callmap__wants(const struct callmap *m, const struct row *row)
{
	uint64_t start = row->span.start_ns;

	return start + CALLMAP_MARGIN_NS >= m->start_ns &&
	       (start <= m->end_ns || start - m->end_ns <= CALLMAP_MARGIN_NS);
}

static void let_go(struct callmap *m, bool all);

static struct callmap_span *room_for_one(struct callmap *m)
{
	uint32_t cap = m->cap_spans ? 2 * m->cap_spans : 256;
	struct callmap_span *bigger;

	if (m->n_spans == CALLMAP_SPANS_MAX && !m->crowded) {
		let_go(m, false);
		/* Else it were done again for every few of them. */
		m->crowded = m->n_spans > CALLMAP_SPANS_MAX / 8 * 7;
	}
	if (m->crowded)
		return NULL;
	if (m->n_spans == m->cap_spans) {
		bigger = m->n_spans < CALLMAP_SPANS_MAX ?
				 reallocarray(m->spans, cap, sizeof(*bigger)) :
				 NULL;
		if (!bigger)
			return NULL;
		m->spans = bigger;
		m->cap_spans = cap;
	}
	return &m->spans[m->n_spans];
}

void callmap__add(struct callmap *m, const struct row *row)
{
	uint64_t start = row->span.start_ns;
	bool counts = start >= m->start_ns && start <= m->end_ns;
	struct callmap_span *s;
	long service;

	if (row->span.trace_id.len != 16)
		return;
	m->counted += counts;
	service = intern__add(&m->services, cut(row->service));
	s = service < 0 ? NULL : room_for_one(m);
	if (!s) {
		m->left_out += counts;
		return;
	}
	*s = (struct callmap_span){ .id = id_of(row->span.span_id),
				    .parent = id_of(row->span.parent_id),
				    .start_ns = start,
				    .duration_ns = row->duration_ns,
				    .peer = NO_PEER,
				    .service = (uint16_t)service,
				    .kind = (uint8_t)(row->span.kind < 6 ? row->span.kind : 0),
				    .error = row__failed(row),
				    .counts = counts };
	memcpy(s->trace, row->span.trace_id.at, 16);
	if (calls(s))
		s->peer = peer_of(m, row);
	m->n_spans++;
	m->at_ns = start + row->duration_ns;
}

/* Spans by trace and id: an open hash of numbers, 1 + index. */
struct by_id {
	uint32_t *slots, mask;
};

static uint32_t slot_for(const struct by_id *t, const uint8_t trace[16], uint64_t id)
{
	static const uint8_t key[16] = "sonde's callmap";
	uint8_t both[24];

	memcpy(both, trace, 16);
	memcpy(both + 16, &id, 8);
	return (uint32_t)siphash24(key, both, sizeof(both)) & t->mask;
}

static int index_spans(const struct callmap *m, struct by_id *ret)
{
	uint32_t size = 64;

	while (size < 2 * m->n_spans)
		size *= 2;
	*ret = (struct by_id){ calloc(size, sizeof(uint32_t)), size - 1 };
	if (!ret->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n_spans; i++) {
		uint32_t slot = slot_for(ret, m->spans[i].trace, m->spans[i].id);

		for (unsigned int tries = 0; ret->slots[slot] && tries < TRIES_MAX; tries++)
			slot = (slot + 1) & ret->mask;
		if (!ret->slots[slot])
			ret->slots[slot] = i + 1;
	}
	return 0;
}

static struct callmap_span *parent_of(const struct callmap *m, const struct by_id *t,
				      const struct callmap_span *s)
{
	uint32_t slot = slot_for(t, s->trace, s->parent);

	if (!s->parent)
		return NULL;
	for (unsigned int tries = 0; t->slots[slot] && tries <= TRIES_MAX; tries++) {
		struct callmap_span *p = &m->spans[t->slots[slot] - 1];

		if (p->id == s->parent && p != s && !memcmp(p->trace, s->trace, 16))
			return p;
		slot = (slot + 1) & t->mask;
	}
	return NULL;
}

static bool better(const struct callmap_example *a, const struct callmap_example *b)
{
	return a->error != b->error ? a->error : a->duration_ns > b->duration_ns;
}

static void add_example(struct callmap_edge *e, const struct callmap_span *by)
{
	struct callmap_example x = { .span = by->id,
				     .duration_ns = by->duration_ns,
				     .error = by->error };
	unsigned int at = e->n_examples;

	memcpy(x.trace, by->trace, 16);
	if (at == CALLMAP_EXAMPLES && !better(&x, &e->examples[at - 1]))
		return;
	if (at == CALLMAP_EXAMPLES)
		at--;
	else
		e->n_examples++;
	for (; at && better(&x, &e->examples[at - 1]); at--)
		e->examples[at] = e->examples[at - 1];
	e->examples[at] = x;
}

static struct callmap_edge *edge_of(struct callmap *m, uint32_t from, uint32_t to)
{
	uint32_t slot = (from * 0x9e3779b1u ^ to * 0x85ebca6bu) % (2 * CALLMAP_EDGES_MAX);
	struct callmap_edge *bigger;

	for (; m->edge_slots[slot]; slot = (slot + 1) % (2 * CALLMAP_EDGES_MAX)) {
		struct callmap_edge *e = &m->edges[m->edge_slots[slot] - 1];

		if (e->from == from && e->to == to)
			return e;
	}
	if (m->n_edges == CALLMAP_EDGES_MAX)
		return NULL;
	if (m->n_edges == m->cap_edges) {
		uint32_t cap = m->cap_edges ? 2 * m->cap_edges : 16;

		bigger = reallocarray(m->edges, cap, sizeof(*bigger));
		if (!bigger) {
			m->failed = true;
			return NULL;
		}
		m->edges = bigger;
		m->cap_edges = cap;
	}
	m->edges[m->n_edges] = (struct callmap_edge){ .from = from, .to = to };
	m->edge_slots[slot] = ++m->n_edges;
	return &m->edges[m->n_edges - 1];
}

static void add_call(struct callmap *m, uint32_t from, uint32_t to, const struct callmap_span *by)
{
	struct callmap_edge *e = edge_of(m, from, to);

	if (!e) {
		m->left_out++;
		return;
	}
	m->nodes[from].shown = m->nodes[to].shown = true;
	e->count++;
	e->errors += by->error;
	if (histogram__add(&e->durations, by->duration_ns))
		m->failed = true;
	add_example(e, by);
}

/* What a program's SDK tells of a request beside sonde is the same request. */
static bool told_twice(const struct callmap_span *s, const struct callmap_span *parent)
{
	return parent && is_asked(parent) && parent->service == s->service;
}

static void tell_request(struct callmap *m, struct callmap_span *s,
			 const struct callmap_span *parent)
{
	struct callmap_node *node = &m->nodes[s->service];

	s->told = true;
	node->shown |= s->counts;
	if (!is_asked(s) || !s->counts || told_twice(s, parent))
		return;
	node->requests++;
	node->errors += s->error;
	if (histogram__add(&node->durations, s->duration_ns))
		m->failed = true;
}

static void link_with(struct callmap *m, struct callmap_span *s, struct callmap_span *parent)
{
	const struct callmap_span *by;

	s->linked = true;
	if (calls(s) && calls(parent) && parent->service == s->service)
		parent->relayed = true;
	if (told_twice(s, parent) && is_asked(s))
		return;
	if (!is_asked(s)) {
		/* Answered, though not by one that says that it was asked. */
		parent->relayed |= parent->service != s->service;
		return;
	}
	/* Beside the client that was told already. */
	if (calls(parent) && parent->answered == s->service + 1)
		return;
	by = calls(parent) ? parent : s;
	parent->answered = (uint16_t)(s->service + 1);
	if (by->counts)
		add_call(m, parent->service, s->service, by);
}

static void look_at_unanswered(struct callmap *m, const struct callmap_span *s)
{
	if (!s->counts || !calls(s) || s->answered || s->relayed || s->peer == NO_PEER ||
	    s->start_ns + s->duration_ns + CALLMAP_SETTLE_NS > m->now_ns)
		return;
	add_call(m, s->service, CALLMAP_SERVICES_MAX + s->peer, s);
}

/*
 * What is below a span began after it, so that all of it has been added when spans are that ended long before it began;
 * what is above it may have ended before it, but not for long.
 */
static bool may_wait(const struct callmap *m, const struct callmap_span *s)
{
	return m->at_ns + CALLMAP_MARGIN_NS >= s->start_ns;
}

/* Links what is there; of what can have no more links, or of all, counts and forgets it. */
static void let_go(struct callmap *m, bool all)
{
	struct by_id ids = { 0 };
	uint32_t kept = 0;

	if (!m->nodes)
		m->nodes = calloc(NODES_MAX, sizeof(*m->nodes));
	m->n_nodes = m->nodes ? NODES_MAX : 0;
	if (!m->edge_slots)
		m->edge_slots = calloc(2ul * CALLMAP_EDGES_MAX, sizeof(*m->edge_slots));
	if (!m->nodes || !m->edge_slots || index_spans(m, &ids)) {
		m->failed = true;
		return;
	}
	for (uint32_t i = 0; i < m->n_spans; i++) {
		struct callmap_span *s = &m->spans[i];
		struct callmap_span *parent = s->linked ? NULL : parent_of(m, &ids, s);

		if (parent)
			link_with(m, s, parent);
		if (!s->told && (parent || all || !s->parent || !may_wait(m, s)))
			tell_request(m, s, parent);
	}
	free(ids.slots);
	for (uint32_t i = 0; i < m->n_spans; i++) {
		struct callmap_span *s = &m->spans[i];

		if (!all && may_wait(m, s))
			m->spans[kept++] = *s;
		else
			look_at_unanswered(m, s);
	}
	m->n_spans = kept;
}

static int compare(struct view a, struct view b)
{
	size_t least = a.len < b.len ? a.len : b.len;
	int ret = least ? memcmp(a.at, b.at, least) : 0;

	return ret ? ret : a.len < b.len ? -1 : a.len > b.len;
}

static int by_names(const void *a, const void *b, void *arg)
{
	const struct callmap_edge *x = a, *y = b;
	const struct callmap_node *nodes = arg;
	int ret = compare(nodes[x->from].name, nodes[y->from].name);

	return ret ? ret : compare(nodes[x->to].name, nodes[y->to].name);
}

/* Until now there was room for all services that may come before the peers. */
static void close_ranks(struct callmap *m)
{
	uint32_t services = m->services.n, gap = CALLMAP_SERVICES_MAX - services;

	m->n_nodes = services + m->peers.n;
	memmove(m->nodes + services, m->nodes + CALLMAP_SERVICES_MAX,
		m->peers.n * sizeof(*m->nodes));
	for (uint32_t i = 0; i < m->n_edges; i++)
		m->edges[i].to -= m->edges[i].to >= CALLMAP_SERVICES_MAX ? gap : 0;
	for (uint32_t i = 0; i < m->n_nodes; i++) {
		m->nodes[i].traced = i < services;
		m->nodes[i].name = i < services ? intern__text(&m->services, i) :
						  intern__text(&m->peers, i - services);
	}
}

void callmap__finish(struct callmap *m)
{
	let_go(m, true);
	if (m->failed)
		return;
	close_ranks(m);
	if (m->n_edges)
		qsort_r(m->edges, m->n_edges, sizeof(*m->edges), by_names, m->nodes);
}

void callmap__free(struct callmap *m)
{
	for (uint32_t i = 0; i < m->n_edges; i++)
		histogram__free(&m->edges[i].durations);
	for (uint32_t i = 0; i < m->n_nodes; i++)
		histogram__free(&m->nodes[i].durations);
	free(m->edge_slots);
	free(m->spans);
	free(m->nodes);
	free(m->edges);
	intern__free(&m->services);
	intern__free(&m->peers);
	*m = (struct callmap){ 0 };
}
