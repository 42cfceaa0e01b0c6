// SPDX-License-Identifier: Apache-2.0
#include "ship/store/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ship/store/block.h"
#include "ship/store/file.h"
#include "ship/store/merge.h"
#include "ship/store/query.h"
#include "ship/store/terms.h"

/* What has postings of its own: a segment, or a group of them that was merged. */
struct unit {
	bool merged;
	uint64_t first, segments;	  /* of segments: the number of the first, how many */
	unsigned int blocks[STORE_GROUP]; /* of each; 0: it is passed over */
	struct view directory;
};

/* One partition while it is searched. */
struct search {
	const struct store_query *query;
	struct store_answer *answer;
	const char *folder;
	uint64_t number;
	sqlite3 *db;
	sqlite3_stmt *get_page, *get_merged_page, *get_block;
	ZSTD_DCtx *zstd;
	struct block block;
	struct unit unit;
	bool damaged;
};

static void __attribute__((format(printf, 2, 3))) note(struct search *s, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->query->note(s->query->arg, text);
}

/* Once a partition: where one page is damaged, others may be. */
static void note_damage(struct search *s, const char *what, uint64_t id)
{
	if (!s->damaged)
		note(s, "%s/spans-%08llu.db: %s %llu is damaged: %s", s->folder,
		     (unsigned long long)s->number, what, (unsigned long long)id,
		     *what == 'b' ? "its spans are left out" :
				    "its segment is looked through without it");
	s->damaged = true;
}

static bool enough(const struct search *s)
{
	return (s->query->limit && s->answer->found >= s->query->limit) ||
	       (s->query->stop && s->query->stop(s->query->arg));
}

static int search_postings(void *arg, uint64_t term, struct ordinals *ret)
{
	struct search *s = arg;
	const struct unit *u = &s->unit;
	sqlite3_stmt *get = u->merged ? s->get_merged_page : s->get_page;
	long page = posting__find_page(u->directory, term);
	uint64_t id = u->merged ? u->first / STORE_GROUP << STORE_GROUP_PAGES_BITS :
				  u->first << STORE_PAGES_BITS;
	int bad = -EPROTO;

	if (page == -ENOENT)
		return 0;
	if (page >= 0) {
		id |= (uint64_t)page;
		sqlite3_bind_int64(get, 1, (sqlite3_int64)id);
		if (sqlite3_step(get) == SQLITE_ROW)
			bad = posting__read((struct view){ sqlite3_column_blob(get, 0),
							   (size_t)sqlite3_column_bytes(get, 0) },
					    term, u->merged ? STORE_GROUP_ORDINALS : STORE_ORDINALS,
					    ret);
		sqlite3_reset(get);
	}
	if (bad)
		note_damage(s, "posting page", id);
	return bad;
}

static void try_span(struct search *s, unsigned int i)
{
	struct block_span span = block__span(&s->block, i);
	struct row row;

	if (row__read(&row, span.span, span.resource) ||
	    !(s->query->match ? s->query->match(s->query->arg, &row) :
				where__matches(s->query->where, &row)))
		return;
	s->answer->found++;
	s->query->found(s->query->arg, &row, span.scope);
}

static bool has(const struct ordinals *set, unsigned int ordinal)
{
	return !set || set->bits[ordinal / 64] >> ordinal % 64 & 1;
}

/* Its candidates (NULL: all), the latest first. */
static void try_block(struct search *s, uint64_t id, struct view data, const struct ordinals *set)
{
	unsigned int first = (unsigned int)(id - (s->unit.first << STORE_SEGMENT_BITS))
			     << STORE_BLOCK_BITS;

	s->answer->blocks_read++;
	if (block__unpack(&s->block, s->zstd, data, id)) {
		note_damage(s, "block", id);
		return;
	}
	for (unsigned int i = s->block.n_spans; i-- > 0 && !enough(s);)
		if (has(set, first + i))
			try_span(s, i);
}

static void fetch_block(struct search *s, uint64_t id, const struct ordinals *set)
{
	sqlite3_bind_int64(s->get_block, 1, (sqlite3_int64)id);
	if (sqlite3_step(s->get_block) == SQLITE_ROW)
		try_block(s, id,
			  (struct view){ sqlite3_column_blob(s->get_block, 0),
					 (size_t)sqlite3_column_bytes(s->get_block, 0) },
			  set);
	else
		note_damage(s, "block", id);
	sqlite3_reset(s->get_block);
}

/* Those of its segments that something can match in; false: there are none. */
static bool choose_segments(struct search *s, const uint8_t *blocks, size_t n)
{
	struct unit *u = &s->unit;
	bool any = false;

	for (unsigned int i = 0; i < u->segments; i++) {
		/* Where it cannot be right, all that there may be. */
		u->blocks[i] = i < n && blocks[i] && blocks[i] <= STORE_SEGMENT_BLOCKS ?
				       blocks[i] :
				       STORE_SEGMENT_BLOCKS;
		if (s->query->skip && s->query->skip(s->query->arg, s->number, u->first + i))
			u->blocks[i] = 0;
		any = any || u->blocks[i];
	}
	return any;
}

static void search_unit(struct search *s)
{
	struct query_source source = { .postings = search_postings, .arg = s };
	const struct unit *u = &s->unit;
	struct ordinals set;

	s->answer->segments++;
	query__candidates(s->query->where, &source, &set);
	for (uint64_t k = u->segments; k-- > 0;) {
		for (unsigned int i = u->blocks[k]; i-- > 0 && !enough(s);) {
			uint64_t at = k << STORE_SEGMENT_BITS | i;
			const uint64_t *words = &set.bits[at * (STORE_BLOCK_SPANS / 64)];

			if (words[0] | words[1])
				fetch_block(s, (u->first << STORE_SEGMENT_BITS) + at, &set);
		}
	}
}
_Static_assert(STORE_BLOCK_SPANS == 128, "a block has two words of a set");

/* Blocks that are in no segment yet, from the latest to the first. */
static int search_open(struct search *s, int64_t first)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(s->db,
				      "SELECT id, data FROM block WHERE id>=?1 ORDER BY id DESC",
				      -1, &stmt, NULL);
	int ret;

	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(stmt, 1, first);
	while ((code == SQLITE_OK || code == SQLITE_ROW) && !enough(s)) {
		code = sqlite3_step(stmt);
		if (code == SQLITE_ROW)
			try_block(s, (uint64_t)sqlite3_column_int64(stmt, 0),
				  (struct view){ sqlite3_column_blob(stmt, 1),
						 (size_t)sqlite3_column_bytes(stmt, 1) },
				  NULL);
	}
	ret = store_errno(s->db, code);
	sqlite3_finalize(stmt);
	return ret;
}

/* Segments that are in no group, or groups; the latest first. */
static int search_units(struct search *s, bool merged, uint64_t groups)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(
		s->db,
		merged ? "SELECT id, blocks, directory FROM merged WHERE id>=?1 ORDER BY id DESC" :
			 "SELECT id, blocks, directory FROM segment WHERE id>=?1 ORDER BY id DESC",
		-1, &stmt, NULL);
	int64_t expected = -1;
	int ret;

	if (code == SQLITE_OK)
		code = sqlite3_bind_int64(stmt, 1,
					  merged ? 0 : (sqlite3_int64)(groups * STORE_GROUP));
	while ((code == SQLITE_OK || code == SQLITE_ROW) && !enough(s)) {
		struct unit *u = &s->unit;
		int64_t id, blocks;
		uint8_t one;

		code = sqlite3_step(stmt);
		if (code != SQLITE_ROW)
			break;
		id = sqlite3_column_int64(stmt, 0);
		if (id < 0 || id >= INT64_MAX >> STORE_GROUP_PAGES_BITS ||
		    (expected >= 0 && id != expected)) {
			note_damage(s, "segment", (uint64_t)id);
			if (id < 0 || id >= INT64_MAX >> STORE_GROUP_PAGES_BITS)
				continue;
		}
		expected = id - 1;
		blocks = sqlite3_column_int64(stmt, 1);
		one = blocks < 0 || blocks > STORE_SEGMENT_BLOCKS ? UINT8_MAX : (uint8_t)blocks;
		*u = (struct unit){ .merged = merged,
				    .first = (uint64_t)id * (merged ? STORE_GROUP : 1),
				    .segments = merged ? STORE_GROUP : 1 };
		if (!choose_segments(s, merged ? sqlite3_column_blob(stmt, 1) : &one,
				     merged ? (size_t)sqlite3_column_bytes(stmt, 1) : 1))
			continue;
		u->directory = (struct view){ sqlite3_column_blob(stmt, 2),
					      (size_t)sqlite3_column_bytes(stmt, 2) };
		search_unit(s);
	}
	ret = store_errno(s->db, code);
	sqlite3_finalize(stmt);
	return ret;
}

static int prepare_gets(struct search *s, bool merged)
{
	int code = sqlite3_prepare_v2(s->db, "SELECT data FROM posting WHERE id=?1", -1,
				      &s->get_page, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(s->db, "SELECT data FROM block WHERE id=?1", -1,
					  &s->get_block, NULL);
	if (code == SQLITE_OK && merged)
		code = sqlite3_prepare_v2(s->db, "SELECT data FROM merged_posting WHERE id=?1", -1,
					  &s->get_merged_page, NULL);
	return store_errno(s->db, code);
}

/* All in one transaction: the writer may go on meanwhile. */
static int search_partition(struct search *s)
{
	uint64_t groups = 0;
	int64_t last = -1;
	int ret = store_errno(s->db, sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL));

	if (!ret)
		groups = merge__groups(s->db, &ret);
	if (!ret)
		ret = prepare_gets(s, groups > 0);
	if (!ret)
		last = store_number(s->db, "SELECT max(id) FROM segment", &ret);
	if (!ret) {
		s->unit = (struct unit){ .first = (uint64_t)(last + 1) };
		ret = search_open(s, (last + 1) << STORE_SEGMENT_BITS);
	}
	if (!ret)
		ret = search_units(s, false, groups);
	if (!ret && groups)
		ret = search_units(s, true, groups);
	sqlite3_finalize(s->get_page);
	sqlite3_finalize(s->get_merged_page);
	sqlite3_finalize(s->get_block);
	s->get_page = s->get_merged_page = s->get_block = NULL;
	return ret;
}

static void search_file(struct search *s)
{
	struct err err = { "" };
	int ret = store_file__open_to_read(&s->db, s->folder, s->number, &err);

	/* Given up by the writer since the folder was listed, or nothing in it yet. */
	if (ret == -ENOENT || ret == -ENODATA)
		return;
	s->answer->partitions++;
	s->damaged = false;
	if (!ret) {
		ret = search_partition(s);
		if (ret)
			err__set(&err, ret, "%s/spans-%08llu.db cannot be read to its end: %s",
				 s->folder, (unsigned long long)s->number,
				 ret == -EPROTO ? "it is damaged" : strerror(-ret));
		sqlite3_close(s->db);
	}
	if (ret)
		s->query->note(s->query->arg, err.text);
	s->answer->unread += ret != 0;
}

int store__search(const char *folder, const struct store_query *query, struct store_answer *ret,
		  struct err *err)
{
	struct search s = { .query = query, .answer = ret, .folder = folder };
	struct store_files files;
	int bad = store_files__list(&files, folder, err);

	*ret = (struct store_answer){ 0 };
	if (bad)
		return bad;
	s.zstd = ZSTD_createDCtx();
	if (!s.zstd)
		bad = err__set(err, -ENOMEM, "out of memory");
	for (unsigned int i = files.n; !bad && i-- > 0 && !enough(&s);) {
		s.number = files.at[i].number;
		if (!files.at[i].damaged)
			search_file(&s);
	}
	ret->more = enough(&s);
	ZSTD_freeDCtx(s.zstd);
	block__free(&s.block);
	store_files__free(&files);
	return bad;
}

/* One block of the walk; what is damaged is passed over. */
static void walk_block(struct block *block, ZSTD_DCtx *zstd, sqlite3_stmt *stmt,
		       struct store_place *place, const struct store_walk *walk)
{
	struct view data = { sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1) };
	uint64_t id = (uint64_t)sqlite3_column_int64(stmt, 0);
	unsigned int i = id == place->block ? place->span : 0;
	struct row row;

	*place = (struct store_place){ id, i };
	if (block__unpack(block, zstd, data, id))
		return;
	for (; i < block->n_spans; i++) {
		struct block_span span = block__span(block, i);

		if (!row__read(&row, span.span, span.resource))
			walk->span(walk->arg, id >> STORE_SEGMENT_BITS, &row);
	}
	place->span = i;
}

void store__end(const char *folder, uint64_t partition, struct store_place *ret)
{
	struct err err;
	sqlite3 *db = NULL;
	int64_t last = -1;
	int bad = store_file__open_to_read(&db, folder, partition, &err);

	if (!bad)
		last = store_number(db, "SELECT max(id) FROM block", &bad);
	if (!bad && last >= 0)
		*ret = (struct store_place){ (uint64_t)last, 0 };
	sqlite3_close(db);
}

struct walking {
	sqlite3 *db;
	ZSTD_DCtx *zstd;
	struct block block;
	sqlite3_stmt *blocks, *digest, *behind;
	struct store_place *place;
	const struct store_walk *walk;
};

/* What stands for the segment's blocks, at its begin; false: there is nothing of the kind. */
static bool take_digest(struct walking *w)
{
	uint64_t segment = w->place->block >> STORE_SEGMENT_BITS;
	bool taken = false;
	int64_t blocks;

	if (!w->digest || w->place->span || w->place->block & (STORE_SEGMENT_BLOCKS - 1))
		return false;
	sqlite3_bind_int64(w->digest, 1, (sqlite3_int64)segment);
	if (sqlite3_step(w->digest) == SQLITE_ROW) {
		blocks = sqlite3_column_int64(w->digest, 0);
		taken = blocks > 0 && blocks <= STORE_SEGMENT_BLOCKS &&
			w->walk->digest(w->walk->arg, segment,
					(struct view){
						sqlite3_column_blob(w->digest, 1),
						(size_t)sqlite3_column_bytes(w->digest, 1) });
		if (taken)
			w->place->block += (uint64_t)blocks;
	}
	sqlite3_reset(w->digest);
	return taken;
}

/* The blocks of its segment from the place on. SQLITE_DONE: that was all of them. */
static int walk_segment(struct walking *w)
{
	uint64_t end = (w->place->block | (STORE_SEGMENT_BLOCKS - 1)) + 1;
	int code = SQLITE_ROW;

	sqlite3_bind_int64(w->blocks, 1, (sqlite3_int64)w->place->block);
	sqlite3_bind_int64(w->blocks, 2, (sqlite3_int64)end);
	while (code == SQLITE_ROW && !w->walk->stop(w->walk->arg)) {
		code = sqlite3_step(w->blocks);
		if (code == SQLITE_ROW)
			walk_block(&w->block, w->zstd, w->blocks, w->place, w->walk);
	}
	sqlite3_reset(w->blocks);
	if (code != SQLITE_DONE)
		return code;
	/* The segment is over when there is another one. */
	sqlite3_bind_int64(w->behind, 1, (sqlite3_int64)end);
	code = sqlite3_step(w->behind);
	if (code == SQLITE_ROW)
		*w->place = (struct store_place){ end, 0 };
	sqlite3_reset(w->behind);
	return code;
}

static int walk_all(struct walking *w)
{
	int version, ret, code;

	version = (int)store_number(w->db, "PRAGMA user_version", &ret);
	if (ret)
		return ret;
	code = sqlite3_prepare_v2(w->db,
				  "SELECT id, data FROM block WHERE id>=?1 AND id<?2 ORDER BY id",
				  -1, &w->blocks, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(w->db, "SELECT 1 FROM block WHERE id>=?1 LIMIT 1", -1,
					  &w->behind, NULL);
	if (code == SQLITE_OK && version > 1 && w->walk->digest)
		code = sqlite3_prepare_v2(w->db, "SELECT blocks, data FROM digest WHERE id=?1", -1,
					  &w->digest, NULL);
	if (code == SQLITE_OK)
		code = SQLITE_ROW;
	while (code == SQLITE_ROW && !w->walk->stop(w->walk->arg)) {
		/* Of a whole segment: the next one may have one, too. */
		if (!take_digest(w) || w->place->block & (STORE_SEGMENT_BLOCKS - 1))
			code = walk_segment(w);
	}
	return store_errno(w->db, code);
}

int store__walk(const char *folder, uint64_t partition, struct store_place *place,
		const struct store_walk *walk, struct err *err)
{
	struct walking w = { .zstd = ZSTD_createDCtx(), .place = place, .walk = walk };
	int ret = w.zstd ? store_file__open_to_read(&w.db, folder, partition, err) : -ENOMEM;

	if (!ret)
		ret = store_errno(w.db, sqlite3_exec(w.db, "BEGIN", NULL, NULL, NULL));
	if (!ret)
		ret = walk_all(&w);
	sqlite3_finalize(w.blocks);
	sqlite3_finalize(w.digest);
	sqlite3_finalize(w.behind);
	sqlite3_close(w.db);
	ZSTD_freeDCtx(w.zstd);
	block__free(&w.block);
	return ret;
}

static void look_for_lost(sqlite3 *db, const uint8_t (*ids)[16], unsigned int n, bool *lost)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db, "SELECT 1 FROM lost WHERE trace=?1", -1, &stmt, NULL) ==
	    SQLITE_OK)
		for (unsigned int i = 0; i < n; i++) {
			uint64_t hash = term__trace_hash((struct view){ (const char *)ids[i], 16 });

			sqlite3_bind_int64(stmt, 1, (sqlite3_int64)hash);
			lost[i] = lost[i] || sqlite3_step(stmt) == SQLITE_ROW;
			sqlite3_reset(stmt);
		}
	sqlite3_finalize(stmt);
}

void store__have_lost(const char *folder, const uint8_t (*ids)[16], unsigned int n, bool *ret)
{
	struct store_files files;
	struct err err;

	memset(ret, 0, n * sizeof(*ret));
	if (!n || store_files__list(&files, folder, &err))
		return;
	for (unsigned int i = 0; i < files.n; i++) {
		sqlite3 *db;

		if (files.at[i].damaged ||
		    store_file__open_to_read(&db, folder, files.at[i].number, &err))
			continue;
		look_for_lost(db, ids, n, ret);
		sqlite3_close(db);
	}
	store_files__free(&files);
}

bool store__has_lost(const char *folder, struct view trace_id)
{
	uint8_t id[1][16];
	bool lost;

	if (trace_id.len != sizeof(id[0]))
		return false;
	memcpy(id[0], trace_id.at, sizeof(id[0]));
	store__have_lost(folder, (const uint8_t(*)[16])id, 1, &lost);
	return lost;
}
