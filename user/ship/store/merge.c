// SPDX-License-Identifier: Apache-2.0
#include "ship/store/merge.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>

#include "ship/store/file.h"
#include "ship/store/posting.h"

/* One of the segments: where its postings are, and the entry that comes next. */
struct source {
	uint64_t segment;
	uint64_t page, pages; /* the next one */
	struct buf bytes;     /* of the page before it */
	struct view rest;
	struct posting_entry entry;
	bool more;
};

struct merge {
	sqlite3 *db;
	uint64_t group, pages;
	struct source sources[STORE_GROUP];
	sqlite3_stmt *get_page, *put_page;
	uint32_t *ordinals; /* of one term */
	struct buf page, directory;
	uint8_t blocks[STORE_GROUP];
};

uint64_t merge__groups(sqlite3 *db, int *ret_err)
{
	int64_t last = store_number(db, "PRAGMA user_version", ret_err);

	if (*ret_err || last < 2)
		return 0;
	last = store_number(db, "SELECT max(id) FROM merged", ret_err);
	return *ret_err || last < 0 ? 0 : (uint64_t)last + 1;
}

static int read_page(struct merge *m, struct source *s)
{
	int ret = -EPROTO;

	sqlite3_bind_int64(m->get_page, 1,
			   (sqlite3_int64)(s->segment << STORE_PAGES_BITS | s->page));
	buf__clear(&s->bytes);
	if (sqlite3_step(m->get_page) == SQLITE_ROW) {
		buf__add(&s->bytes, sqlite3_column_blob(m->get_page, 0),
			 (size_t)sqlite3_column_bytes(m->get_page, 0));
		s->rest = (struct view){ (const char *)s->bytes.at, s->bytes.len };
		ret = s->bytes.err ? s->bytes.err : posting__unseal(&s->rest) ? 0 : -EPROTO;
	}
	sqlite3_reset(m->get_page);
	s->page++;
	return ret;
}

/* The next entry of a segment, whose terms only grow. */
static int advance(struct merge *m, struct source *s)
{
	uint64_t before = s->more ? s->entry.term + 1 : 0;
	int more = 0, ret;

	while (!(more = posting__next(&s->rest, STORE_ORDINALS, &s->entry)) && s->page < s->pages) {
		ret = read_page(m, s);
		if (ret)
			return ret;
	}
	s->more = more > 0;
	return more < 0 || (s->more && s->entry.term < before) ? -EPROTO : 0;
}

static int write_page(struct merge *m)
{
	int code;

	posting__seal(&m->page, 0);
	if (m->page.err)
		return m->page.err;
	sqlite3_bind_int64(m->put_page, 1,
			   (sqlite3_int64)(m->group << STORE_GROUP_PAGES_BITS | m->pages++));
	sqlite3_bind_blob(m->put_page, 2, m->page.at, (int)m->page.len, SQLITE_STATIC);
	code = sqlite3_step(m->put_page);
	sqlite3_reset(m->put_page);
	buf__clear(&m->page);
	return store_errno(m->db, code);
}

static int add_term(struct merge *m, uint64_t term)
{
	uint32_t n = 0;
	int ret = 0;

	for (uint32_t i = 0; i < STORE_GROUP && !ret; i++) {
		struct source *s = &m->sources[i];

		if (!s->more || s->entry.term != term)
			continue;
		ret = posting__list(&s->entry, STORE_ORDINALS, i * STORE_ORDINALS, m->ordinals, &n);
		if (!ret)
			ret = advance(m, s);
	}
	if (ret)
		return ret;
	if (!m->page.len)
		buf__add(&m->directory, &(uint64_t){ htole64(term) }, sizeof(term));
	posting__add(&m->page, term, m->ordinals, n, STORE_GROUP_ORDINALS);
	return m->page.len < STORE_PAGE_BYTES ? m->page.err : write_page(m);
}

static int merge_terms(struct merge *m)
{
	int ret = 0;

	for (int i = 0; i < STORE_GROUP && !ret; i++)
		ret = advance(m, &m->sources[i]);
	while (!ret) {
		uint64_t least = UINT64_MAX;

		for (int i = 0; i < STORE_GROUP; i++)
			if (m->sources[i].more && m->sources[i].entry.term < least)
				least = m->sources[i].entry.term;
		if (least == UINT64_MAX)
			break;
		ret = add_term(m, least);
	}
	if (!ret && m->page.len)
		ret = write_page(m);
	posting__seal(&m->directory, 0);
	return ret ? ret : m->directory.err;
}

/* What there is to be merged. */
static int find_sources(struct merge *m)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(m->db, "SELECT blocks, directory FROM segment WHERE id=?1",
				      -1, &stmt, NULL);
	int ret = store_errno(m->db, code);

	for (uint64_t i = 0; i < STORE_GROUP && !ret; i++) {
		struct source *s = &m->sources[i];
		struct view directory;
		int64_t blocks;

		s->segment = m->group * STORE_GROUP + i;
		sqlite3_bind_int64(stmt, 1, (sqlite3_int64)s->segment);
		if (sqlite3_step(stmt) != SQLITE_ROW) {
			ret = -EPROTO;
			break;
		}
		blocks = sqlite3_column_int64(stmt, 0);
		directory = (struct view){ sqlite3_column_blob(stmt, 1),
					   (size_t)sqlite3_column_bytes(stmt, 1) };
		if (blocks < 0 || blocks > STORE_SEGMENT_BLOCKS || !posting__unseal(&directory))
			ret = -EPROTO;
		m->blocks[i] = (uint8_t)blocks;
		s->pages = directory.len / 8;
		sqlite3_reset(stmt);
	}
	sqlite3_finalize(stmt);
	return ret;
}

static int prepare(struct merge *m)
{
	int code = sqlite3_prepare_v2(m->db, "SELECT data FROM posting WHERE id=?1", -1,
				      &m->get_page, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(m->db,
					  "INSERT INTO merged_posting(id, data) VALUES(?1, ?2)", -1,
					  &m->put_page, NULL);
	m->ordinals = malloc(STORE_GROUP_ORDINALS * sizeof(*m->ordinals));
	return m->ordinals ? store_errno(m->db, code) : -ENOMEM;
}

/* The group takes the place of what it was made of. */
static int replace(struct merge *m)
{
	uint64_t first = m->group * STORE_GROUP;
	sqlite3_stmt *stmt = NULL;
	int code =
		sqlite3_prepare_v2(m->db,
				   "INSERT INTO merged(id, blocks, directory) VALUES(?1, ?2, ?3)",
				   -1, &stmt, NULL);

	if (code == SQLITE_OK) {
		sqlite3_bind_int64(stmt, 1, (sqlite3_int64)m->group);
		sqlite3_bind_blob(stmt, 2, m->blocks, sizeof(m->blocks), SQLITE_STATIC);
		sqlite3_bind_blob(stmt, 3, m->directory.at, (int)m->directory.len, SQLITE_STATIC);
		code = sqlite3_step(stmt);
	}
	sqlite3_finalize(stmt);
	stmt = NULL;
	if (code == SQLITE_DONE)
		code = sqlite3_prepare_v2(m->db, "DELETE FROM posting WHERE id>=?1 AND id<?2", -1,
					  &stmt, NULL);
	if (code == SQLITE_OK) {
		sqlite3_bind_int64(stmt, 1, (sqlite3_int64)(first << STORE_PAGES_BITS));
		sqlite3_bind_int64(stmt, 2,
				   (sqlite3_int64)((first + STORE_GROUP) << STORE_PAGES_BITS));
		code = sqlite3_step(stmt);
	}
	sqlite3_finalize(stmt);
	return store_errno(m->db, code);
}

int merge__group(sqlite3 *db, uint64_t group)
{
	struct merge m = { .db = db, .group = group };
	int ret = store_errno(db, sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL));

	if (ret)
		return ret;
	ret = prepare(&m);
	if (!ret)
		ret = find_sources(&m);
	if (!ret)
		ret = merge_terms(&m);
	sqlite3_finalize(m.get_page);
	sqlite3_finalize(m.put_page);
	if (!ret)
		ret = replace(&m);
	if (!ret)
		ret = store_errno(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
	if (ret)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	for (int i = 0; i < STORE_GROUP; i++)
		buf__free(&m.sources[i].bytes);
	buf__free(&m.page);
	buf__free(&m.directory);
	free(m.ordinals);
	return ret;
}
