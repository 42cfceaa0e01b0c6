/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the API share. */
#ifndef SONDE_SERVE_API_IMPL_H
#define SONDE_SERVE_API_IMPL_H

#include "serve/api.h"
#include "serve/catalogue.h"
#include "serve/filter.h"
#include "ship/store/reader.h"

struct api {
	const char *folder;
	struct catalogue *catalogue;
	const struct live *live; /* NULL: what serves traces nothing */
	int control;
	uint64_t asked_ns; /* when the catalogue was last of use */
};

/* One request on its way to its answer. */
struct ask {
	struct api *api;
	const struct target *target;
	struct view part; /* what a '*' of the path stands for */
	bool protobuf;
	struct answer *answer;
	/* What is not found by then is not waited for: by this thread's work, and by the clock. */
	uint64_t until_thread_ns, until_ns;
	bool late;
	unsigned int unread; /* partitions that a search could not read */
	unsigned int calls;
};

/* Is it time to stop? */
bool ask__late(struct ask *ask);
/* For one whole trace, which is bounded by its spans. */
void ask__more_time(struct ask *ask);
/* For the same spans again, in any case: what was late is not. */
void ask__once_more(struct ask *ask);
/* The text to append to. */
struct buf *ask__text(struct ask *ask);
void ask__error(struct ask *ask, unsigned int status, const char *what, const char *why,
		const char *todo);
/* After a function of filter.h: 400 with its complaint, or 503. */
void ask__wrong(struct ask *ask, int code, const struct complaint *why);
/* A folder that cannot be read: 503. */
void ask__unreadable(struct ask *ask, const struct err *err);

/* Brings the catalogue up to date, as far as there is time for it. False: the answer is an error. */
bool ask__catalogue(struct ask *ask);

/* Names with their number of spans, of entries of the catalogue. Sorted by name. Zero-initialised is empty. */
struct names {
	struct name {
		struct view name;
		uint32_t kind;
		uint64_t spans;
	} * at;
	size_t n, cap;
	bool failed;
};
void names__add(struct names *names, struct view name, uint32_t kind, uint64_t spans);
/* Sorts, and adds up what is there twice. */
void names__merge(struct names *names);
void names__free(struct names *names);
/* Services of the range, or the operations of one (service not NULL), after reading on. False: the answer is an error. */
bool ask__services(struct ask *ask, const struct filter *range, struct names *ret);
bool ask__operations(struct ask *ask, const char *service, const struct filter *range,
		     struct names *ret);

const char *kind__name(uint32_t kind);
void json__hex(struct buf *out, struct view bytes);
void json__number(struct buf *out, const char *name, uint64_t n); /* "name":n */
void json__nano(struct buf *out, const char *name, uint64_t n);	  /* "name":"n" */

/* Newest traces of which a span matches. */
struct found_traces {
	uint8_t ids[FILTER_LIMIT_MAX][16];
	unsigned int n;
};
/* False: the answer is an error. */
bool ask__find(struct ask *ask, const struct filter *filter, struct found_traces *ret);
/* All spans of these traces; found may be called for none. False: the answer is an error. */
bool ask__spans(struct ask *ask, const uint8_t (*ids)[16], unsigned int n,
		void (*found)(void *arg, unsigned int trace, const struct row *row,
			      struct view scope),
		void *arg);

/* Who called whom. To be freed by callmap__free(), whatever is returned. False: the answer is an error. */
struct callmap;
bool ask__callmap(struct ask *ask, const struct filter *range, struct callmap *ret);

/* The answers, one function each. */
void api__search(struct ask *ask);
void api__trace(struct ask *ask);
void api__account(struct ask *ask);
void api__statistics(struct ask *ask);
void api__map(struct ask *ask);
void jaeger__services(struct ask *ask);
void jaeger__service_operations(struct ask *ask);
void jaeger__operations(struct ask *ask);
void jaeger__traces(struct ask *ask);
void jaeger__trace(struct ask *ask);
void jaeger__dependencies(struct ask *ask);
void tempo__echo(struct ask *ask);
void tempo__trace(struct ask *ask);
void tempo__trace_v2(struct ask *ask);
void tempo__search(struct ask *ask);
void tempo__tags(struct ask *ask);
void tempo__tag_values(struct ask *ask);
void tempo__tags_v2(struct ask *ask);
void tempo__tag_values_v2(struct ask *ask);
void tempo__metrics(struct ask *ask);
void tempo__buildinfo(struct ask *ask);

#endif
