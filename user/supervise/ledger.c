// SPDX-License-Identifier: Apache-2.0
#include "supervise/ledger.h"

#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Every counter's name says its place: lost_ring_full is reason "ring_full" of the line's "lost".
 * So the tables of counters.h and account.h are walked by name and a new reason needs no change here.
 */
struct named {
	const char *name;
	uint64_t value;
};

static unsigned int kernel_counters(const struct sonde_kcounters *k, struct named *out)
{
	unsigned int n = 0;

#define X(counter, comment) out[n++] = (struct named){ #counter, k->counter };
	SONDE_KCOUNTERS(X)
#undef X
	return n;
}

static unsigned int trace_counters(const struct account_trace *t, struct named *out)
{
	unsigned int n = 0;

#define X(counter, comment) out[n++] = (struct named){ #counter, t->counter };
	ACCOUNT_TRACE(X)
#undef X
	return n;
}

static unsigned int sink_counters(const struct account_sink *s, struct named *out)
{
	unsigned int n = 0;

#define X(counter, comment) out[n++] = (struct named){ #counter, s->counter };
	ACCOUNT_SINK(X)
#undef X
	return n;
}

static unsigned int received_counters(const struct account_received *r, struct named *out)
{
	unsigned int n = 0;

#define X(counter, comment) out[n++] = (struct named){ #counter, r->counter };
	ACCOUNT_RECEIVED(X)
#undef X
	return n;
}

#define COUNTERS_MAX 96

/* Adds all counters that begin with prefix to object (may be NULL), without the prefix; their sum. */
static uint64_t reasons(json_t *object, const struct named *counters, unsigned int n,
			const char *prefix, bool zeroes)
{
	size_t skip = strlen(prefix);
	uint64_t sum = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (strncmp(counters[i].name, prefix, skip))
			continue;
		sum += counters[i].value;
		if (object && (counters[i].value || zeroes))
			json_object_set_new(object, counters[i].name + skip,
					    json_integer((json_int_t)counters[i].value));
	}
	return sum;
}

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *add_object(json_t *parent, const char *key)
{
	json_t *object = json_object();

	json_object_set_new(parent, key, object);
	return object;
}

static void add_records(json_t *root, const struct ledger *ledger, const struct named *all,
			unsigned int n)
{
	const struct sonde_kcounters *k = &ledger->kernel;
	uint64_t delivered = k->records_delivered - ledger->drain_lost, lost;
	json_t *line = add_object(root, "records"), *reason;

	set(line, "attempted", k->records_attempted);
	set(line, "delivered", delivered);
	reason = add_object(line, "lost");
	lost = reasons(reason, all, n, "lost_", false) + ledger->drain_lost;
	if (ledger->drain_lost)
		set(reason, "drain_full", ledger->drain_lost);
	set(line, "residual", k->records_attempted - delivered - lost);
}

static void add_bytes(json_t *root, const struct sonde_kcounters *k, const struct named *all,
		      unsigned int n)
{
	json_t *line = add_object(root, "bytes");
	uint64_t gap;

	set(line, "sequence", k->bytes_sequence);
	set(line, "captured", k->bytes_captured);
	set(line, "counted", k->bytes_counted);
	gap = reasons(add_object(line, "gap"), all, n, "gap_", false);
	set(line, "residual", k->bytes_sequence - k->bytes_captured - k->bytes_counted - gap);
}

static uint64_t begun(const struct ledger *ledger)
{
	return ledger->kernel.turns_begun + ledger->kernel.starts_begun +
	       ledger->account.trace.ex_inside;
}

static void add_exchanges(json_t *root, const struct ledger *ledger, const struct named *all,
			  unsigned int n)
{
	const struct account_trace *t = &ledger->account.trace;
	json_t *line = add_object(root, "exchanges"), *drops;
	uint64_t filtered, dropped;

	set(line, "begun", begun(ledger));
	set(line, "open", t->ex_open + t->ex_held);
	set(line, "spans", t->ex_spans);
	filtered = reasons(add_object(line, "filtered"), all, n, "filtered_", false);
	drops = add_object(line, "dropped");
	dropped = reasons(drops, all, n, "dropped_", false);
	if (ledger->kernel.begun_lost)
		set(drops, "record_lost", ledger->kernel.begun_lost);
	dropped += ledger->kernel.begun_lost;
	/* Between the core and the sinks: spans of the line "exchanges" that no sink was handed. */
	set(line, "frames_lost", t->frames_refused + t->frames_restart + t->frames_waiting);
	set(line, "residual",
	    begun(ledger) - t->ex_open - t->ex_held - t->ex_spans - filtered - dropped);
}

static void add_sink(json_t *sinks, const struct account_sink *s)
{
	struct named all[COUNTERS_MAX];
	unsigned int n = sink_counters(s, all);
	json_t *line = add_object(sinks, s->name);
	uint64_t rejected, dropped;

	set(line, "spans", s->spans);
	set(line, "unsampled", s->unsampled);
	set(line, "acked", s->acked);
	set(line, "queued", s->queued);
	rejected = reasons(add_object(line, "rejected"), all, n, "rejected_", false);
	dropped = reasons(add_object(line, "dropped"), all, n, "dropped_", false);
	set(line, "unconfirmed", s->unconfirmed);
	if (s->evicted)
		set(line, "evicted", s->evicted);
	if (s->damaged)
		set(line, "damaged", s->damaged);
	set(line, "residual", s->spans - s->unsampled - s->acked - s->queued - rejected - dropped);
}

/* Two identities: of requests, and of the spans in those that were taken. */
static void add_received(json_t *root, const struct account_received *r)
{
	struct named all[COUNTERS_MAX];
	unsigned int n = received_counters(r, all);
	json_t *line = add_object(root, "received"), *requests = add_object(line, "requests");
	uint64_t refused, rejected, dropped;

	set(requests, "attempted", r->requests);
	set(requests, "taken", r->taken);
	refused = reasons(add_object(requests, "refused"), all, n, "refused_", false);
	set(requests, "residual", r->requests - r->taken - refused);
	set(line, "bytes", r->bytes);
	set(line, "spans", r->spans);
	set(line, "passed", r->passed);
	set(line, "waiting", r->waiting);
	rejected = reasons(add_object(line, "rejected"), all, n, "rejected_", false);
	dropped = reasons(add_object(line, "dropped"), all, n, "dropped_", false);
	set(line, "residual", r->spans - r->passed - r->waiting - rejected - dropped);
}

/*
 * What the governor has shed: how often it began to, how far it went, for how long at which level, and how
 * much. The lines of records, bytes and exchanges balance without it.
 */
static void add_shed(json_t *root, const struct ledger *ledger, const struct named *kernel,
		     unsigned int n_kernel, const struct named *trace, unsigned int n_trace)
{
	const struct account_governor *g = &ledger->account.governor;
	json_t *line = add_object(root, "shed"), *seconds;

	json_object_set_new(line, "level",
			    json_string(governor__level_name(
				    governor__shed((unsigned int)g->step).level)));
	set(line, "step", g->step);
	set(line, "highest", g->highest);
	set(line, "times", g->times);
	seconds = add_object(line, "seconds");
	for (int level = SHED_ATTRIBUTES; level < SHED_LEVELS; level++)
		json_object_set_new(seconds, governor__level_name((enum shed_level)level),
				    json_real((double)g->level_ns[level] / 1e9));
	reasons(line, trace, n_trace, "shed_", true);
	reasons(line, kernel, n_kernel, "shed_", true);
}

static void add_links(json_t *root, const struct named *all, unsigned int n)
{
	reasons(add_object(root, "links"), all, n, "links_", true);
	reasons(add_object(root, "exports"), all, n, "exports_", true);
}

/* What sonde itself has cost since the run began. */
static void add_cost(json_t *root, const struct ledger *ledger)
{
	json_t *line, *roles;

	if (!ledger->n_cost)
		return;
	line = add_object(root, "cost");
	roles = add_object(line, "roles");
	for (unsigned int i = 0; i < ledger->n_cost; i++) {
		json_t *role = add_object(roles, ledger->cost[i].role);

		json_object_set_new(role, "cpu_seconds",
				    json_real((double)ledger->cost[i].cpu_ns / 1e9));
		set(role, "memory_bytes", ledger->cost[i].memory_bytes);
	}
	json_object_set_new(line, "programs_seconds",
			    ledger->programs_known ? json_real((double)ledger->programs_ns / 1e9) :
						     json_string("unknown"));
	set(line, "map_bytes", ledger->map_bytes);
}

static void add_libraries(json_t *tls, const struct ledger_libraries *l)
{
	json_t *line = add_object(tls, "libraries");

	set(line, "looked_at", l->looked_at);
	set(line, "hooked", l->hooked);
	set(line, "let_go", l->let_go);
	set(line, "hooked_now", l->hooked_now);
	set(line, "refused", l->refused);
	set(line, "broken", l->broken);
	set(line, "gone", l->gone);
	set(line, "functions_left", l->functions_left);
	set(line, "full", l->full);
	set(line, "mappings_lost", l->mappings_lost);
}

static void add_moment(json_t *root, const struct ledger *ledger)
{
	char text[24];

	if (!ledger->at_unix_ns)
		return;
	snprintf(text, sizeof(text), "%" PRIu64, ledger->at_unix_ns);
	json_object_set_new(root, "running", json_boolean(ledger->running));
	json_object_set_new(root, "at_unix_nano", json_string(text));
}

void ledger__json(const struct ledger *ledger, struct buf *out)
{
	struct named kernel[COUNTERS_MAX], trace[COUNTERS_MAX];
	unsigned int n_kernel = kernel_counters(&ledger->kernel, kernel);
	unsigned int n_trace = trace_counters(&ledger->account.trace, trace);
	json_t *root = json_object(), *sinks, *blind, *connections;
	char *text;

	add_moment(root, ledger);
	json_object_set_new(root, "tier", json_string(ledger->tier));
	add_records(root, ledger, kernel, n_kernel);
	add_bytes(root, &ledger->kernel, kernel, n_kernel);
	add_exchanges(root, ledger, trace, n_trace);
	reasons(add_object(root, "unseen"), kernel, n_kernel, "unseen_", false);
	reasons(add_object(root, "state"), kernel, n_kernel, "state_", false);
	sinks = add_object(root, "sinks");
	for (unsigned int i = 0; i < ACCOUNT_SINKS_MAX; i++)
		if (ledger->account.sinks[i].name[0])
			add_sink(sinks, &ledger->account.sinks[i]);
	if (ledger->received)
		add_received(root, ledger->received);
	blind = add_object(root, "blind");
	for (unsigned int i = 0; i < ledger->n_blind; i++)
		json_object_set_new(blind, ledger->blind[i].name,
				    ledger->blind[i].known ?
					    json_integer((json_int_t)ledger->blind[i].value) :
					    json_string("unknown"));
	add_links(root, trace, n_trace);
	add_shed(root, ledger, kernel, n_kernel, trace, n_trace);
	connections = add_object(root, "connections");
	set(connections, "seen", ledger->kernel.conns_seen);
	set(connections, "joined", ledger->kernel.conns_joined);
	set(connections, "http1", ledger->kernel.conns_http1);
	set(connections, "http2", ledger->kernel.conns_http2);
	set(connections, "tls", ledger->kernel.conns_tls);
	set(connections, "tls_seen_into", ledger->kernel.conns_tls_tied);
	set(connections, "not_decoded", ledger->kernel.conns_other);
	reasons(add_object(root, "frames"), kernel, n_kernel, "frames_", true);
	reasons(add_object(root, "tls"), kernel, n_kernel, "tls_", true);
	add_libraries(json_object_get(root, "tls"), &ledger->libraries);
	add_cost(root, ledger);
	text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
	if (text)
		buf__printf(out, "%s\n", text);
	free(text);
	json_decref(root);
}

uint64_t ledger__lost(const struct ledger *ledger)
{
	struct named all[COUNTERS_MAX];
	unsigned int n = trace_counters(&ledger->account.trace, all);
	uint64_t lost = reasons(NULL, all, n, "dropped_", false) + ledger->kernel.begun_lost +
			ledger->account.trace.frames_refused + ledger->account.trace.frames_restart;

	if (ledger->received)
		lost += ledger->received->dropped_restart + ledger->received->dropped_shutdown;
	for (unsigned int i = 0; i < ACCOUNT_SINKS_MAX; i++) {
		n = sink_counters(&ledger->account.sinks[i], all);
		lost += reasons(NULL, all, n, "dropped_", false) +
			reasons(NULL, all, n, "rejected_", false);
	}
	return lost;
}

/* " (2 ring_full, 1 fault)" or nothing. */
static void add_reasons(struct buf *out, const struct named *all, unsigned int n,
			const char *prefix)
{
	size_t skip = strlen(prefix);
	const char *before = " (";

	for (unsigned int i = 0; i < n; i++) {
		if (strncmp(all[i].name, prefix, skip) || !all[i].value)
			continue;
		buf__printf(out, "%s%" PRIu64 " %s", before, all[i].value, all[i].name + skip);
		before = ", ";
	}
	if (*before == ',')
		buf__add_str(out, ")");
}

static void shed_line(const struct ledger *ledger, struct buf *out)
{
	const struct account_governor *g = &ledger->account.governor;
	uint64_t ns = 0;

	if (!g->times)
		return;
	for (int level = 0; level < SHED_LEVELS; level++)
		ns += g->level_ns[level];
	buf__printf(out,
		    "sonde: shed to keep to its budget, for %.1f s: %" PRIu64
		    " spans without some attributes, %" PRIu64 " sampled out, %" PRIu64
		    " heads cut, %" PRIu64 " requests not looked at\n",
		    (double)ns / 1e9, ledger->account.trace.shed_attributes,
		    ledger->account.trace.shed_sampling, (uint64_t)ledger->kernel.shed_heads,
		    (uint64_t)ledger->kernel.shed_exchanges);
}

static void received_line(const struct ledger *ledger, struct buf *out)
{
	const struct account_received *r = ledger->received;
	struct named all[COUNTERS_MAX];
	unsigned int n;

	if (!r)
		return;
	n = received_counters(r, all);
	buf__printf(out, "sonde: received %" PRIu64 " spans in %" PRIu64 " requests", r->spans,
		    r->taken);
	if (r->requests != r->taken) {
		buf__printf(out, ", %" PRIu64 " refused", r->requests - r->taken);
		add_reasons(out, all, n, "refused_");
	}
	buf__printf(out, "; %" PRIu64 " spans rejected", reasons(NULL, all, n, "rejected_", false));
	add_reasons(out, all, n, "rejected_");
	buf__printf(out, ", %" PRIu64 " lost\n",
		    ledger->untraced ? ledger__lost(ledger) :
				       reasons(NULL, all, n, "dropped_", false));
}

static void traced_lines(const struct ledger *ledger, struct buf *out)
{
	struct named kernel[COUNTERS_MAX], trace[COUNTERS_MAX];
	unsigned int n_kernel = kernel_counters(&ledger->kernel, kernel);
	unsigned int n_trace = trace_counters(&ledger->account.trace, trace);
	uint64_t lost_records = reasons(NULL, kernel, n_kernel, "lost_", false);
	uint64_t gap = reasons(NULL, kernel, n_kernel, "gap_", false);
	uint64_t unseen = reasons(NULL, kernel, n_kernel, "unseen_", false);
	uint64_t filtered = reasons(NULL, trace, n_trace, "filtered_", false);

	buf__printf(out, "sonde: %" PRIu64 " spans, %" PRIu64 " lost",
		    ledger->account.trace.ex_spans, ledger__lost(ledger));
	add_reasons(out, trace, n_trace, "dropped_");
	if (filtered) {
		buf__printf(out, ", %" PRIu64 " filtered", filtered);
		add_reasons(out, trace, n_trace, "filtered_");
	}
	buf__printf(out, "; %" PRIu64 " records, %" PRIu64 " lost",
		    (uint64_t)ledger->kernel.records_attempted, lost_records);
	add_reasons(out, kernel, n_kernel, "lost_");
	buf__printf(out, "; %" PRIu64 " bytes, %" PRIu64 " in gaps",
		    (uint64_t)ledger->kernel.bytes_sequence, gap);
	if (unseen) {
		buf__printf(out, "; %" PRIu64 " calls unseen", unseen);
		add_reasons(out, kernel, n_kernel, "unseen_");
	}
	if (ledger->tier[0])
		buf__printf(out, "; tier %s", ledger->tier);
	buf__add_str(out, "\n");
	shed_line(ledger, out);
	if (ledger->kernel.conns_other)
		buf__printf(
			out,
			"sonde: %" PRIu64 " of %" PRIu64
			" connections were not decoded: none of the protocols that sonde knows\n",
			(uint64_t)ledger->kernel.conns_other, (uint64_t)ledger->kernel.conns_seen);
	if (ledger->kernel.conns_tls > ledger->kernel.conns_tls_tied)
		buf__printf(out,
			    "sonde: %" PRIu64 " of %" PRIu64
			    " TLS connections were not seen into: by a library that sonde does not "
			    "know, or met too late\n",
			    (uint64_t)(ledger->kernel.conns_tls - ledger->kernel.conns_tls_tied),
			    (uint64_t)ledger->kernel.conns_tls);
	if (!ledger->account.trace.links_unproven)
		return;
	buf__printf(out, "sonde: %" PRIu64 " spans may be told twice: ",
		    ledger->account.trace.links_unproven);
	buf__add_str(out, "their programs have an SDK or could not be looked into, and no export ");
	buf__add_str(out, "that could be read tells of them\n");
}

void ledger__line(const struct ledger *ledger, struct buf *out)
{
	if (!ledger->untraced)
		traced_lines(ledger, out);
	received_line(ledger, out);
}
