// SPDX-License-Identifier: Apache-2.0
#include "ship/store/partition.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ship/store/block.h"
#include "ship/store/file.h"
#include "ship/store/merge.h"
#include "ship/store/digest.h"
#include "ship/store/terms.h"

#define SECOND_VERSION                                                                             \
	"CREATE TABLE merged(id INTEGER PRIMARY KEY, blocks BLOB NOT NULL, directory BLOB NOT "    \
	"NULL);"                                                                                   \
	"CREATE TABLE merged_posting(id INTEGER PRIMARY KEY, data BLOB NOT NULL);"                 \
	"CREATE TABLE digest(id INTEGER PRIMARY KEY, blocks INTEGER NOT NULL, data BLOB NOT "      \
	"NULL);"                                                                                   \
	"CREATE TABLE given_up(partition INTEGER PRIMARY KEY);"                                    \
	"ALTER TABLE account ADD COLUMN evicted INTEGER NOT NULL DEFAULT 0;"

#define SCHEMA                                                                                     \
	"CREATE TABLE block(id INTEGER PRIMARY KEY, spans INTEGER NOT NULL, data BLOB NOT NULL);"  \
	"CREATE TABLE segment(id INTEGER PRIMARY KEY, blocks INTEGER NOT NULL, spans INTEGER NOT " \
	"NULL, directory BLOB NOT NULL, traces BLOB NOT NULL);"                                    \
	"CREATE TABLE posting(id INTEGER PRIMARY KEY, data BLOB NOT NULL);"                        \
	"CREATE TABLE lost(trace INTEGER PRIMARY KEY);"                                            \
	"CREATE TABLE account(run INTEGER PRIMARY KEY, acked INTEGER NOT NULL);" SECOND_VERSION    \
	"PRAGMA application_id=1936682596; PRAGMA user_version=2;"

/* What leads from version i + 1 to the next one. */
static const char *const migrations[STORE_VERSION] = { SECOND_VERSION };

/* The log stays short, so that a reader's copy of its index and what a crash leaves stay small. */
#define SETTINGS                                                                                   \
	"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-2048;"             \
	"PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA wal_autocheckpoint=512;"             \
	"PRAGMA journal_size_limit=8388608; PRAGMA cell_size_check=ON; PRAGMA secure_delete=OFF;"

/* While it is open a segment's digest is written when it is a small share of what has come since. */
#define DIGEST_SHARE 32
#define DIGEST_BLOCKS_MIN 8

enum {
	PUT_BLOCK,
	PUT_SEGMENT,
	PUT_POSTING,
	PUT_DIGEST,
	PUT_LOST,
	PUT_GIVEN_UP,
	PUT_ACCOUNT,
	STATEMENTS
};
static const char *const statements[STATEMENTS] = {
	[PUT_BLOCK] = "INSERT OR REPLACE INTO block(id, spans, data) VALUES(?1, ?2, ?3)",
	[PUT_SEGMENT] = "INSERT INTO segment(id, blocks, spans, directory, traces) "
			"VALUES(?1, ?2, ?3, ?4, ?5)",
	[PUT_POSTING] = "INSERT INTO posting(id, data) VALUES(?1, ?2)",
	[PUT_DIGEST] = "INSERT OR REPLACE INTO digest(id, blocks, data) VALUES(?1, ?2, ?3)",
	[PUT_LOST] = "INSERT OR IGNORE INTO lost(trace) VALUES(?1)",
	[PUT_GIVEN_UP] = "INSERT OR IGNORE INTO given_up(partition) VALUES(?1)",
	[PUT_ACCOUNT] = "INSERT OR REPLACE INTO account(run, acked, evicted) VALUES(?1, ?2, ?3)",
};

struct partition {
	uint64_t number;
	sqlite3 *db;
	sqlite3_stmt *put[STATEMENTS];
	ZSTD_CCtx *zstd;
	int page_bytes;
	bool ours;
	/* the open segment */
	uint64_t segment;
	unsigned int blocks, spans; /* complete blocks; spans in them */
	struct pairs pairs;
	struct buf traces; /* u64 each */
	struct digest digest;
	size_t undigested; /* bytes of blocks since it was last written */
	unsigned int undigested_blocks;
	uint64_t groups;      /* that have been merged */
	uint64_t merge_again; /* not before there are so many segments: it failed */
	/* its open block */
	struct block block;
	bool changed; /* since it was last written */
	struct {
		size_t from, n;		     /* in terms, u64 each */
		size_t service, service_len; /* in services */
	} context_terms[STORE_BLOCK_SPANS];
	unsigned int n_contexts;
	struct buf terms, services;
	struct buf scratch;
};

static uint64_t block_id(const struct partition *p)
{
	return p->segment << STORE_SEGMENT_BITS | p->blocks;
}

static void begin_block(struct partition *p)
{
	block__begin(&p->block, block_id(p));
	p->changed = false;
	p->n_contexts = 0;
	buf__clear(&p->terms);
	buf__clear(&p->services);
}

/* Resources are looked at once a block: those up to this one. */
static int index_contexts(struct partition *p, unsigned int context)
{
	int ret = 0;

	for (; p->n_contexts <= context && (!ret || ret == -EPROTO); p->n_contexts++) {
		struct view resource = block__resource(&p->block, p->n_contexts);
		struct view service = row__service(resource);
		size_t from = p->terms.len / 8;

		ret = terms__resource(&p->terms, resource, service);
		p->context_terms[p->n_contexts].from = from;
		p->context_terms[p->n_contexts].n = p->terms.len / 8 - from;
		p->context_terms[p->n_contexts].service = p->services.len;
		p->context_terms[p->n_contexts].service_len = service.len;
		buf__add_view(&p->services, service);
	}
	return ret && ret != -EPROTO ? ret : p->services.err;
}

static int add_trace(struct partition *p, struct view trace_id)
{
	uint64_t hash = term__trace_hash(trace_id), before = 0;

	/* Spans of a trace come one after another: of each row of them one is enough. */
	if (p->traces.len)
		memcpy(&before, p->traces.at + p->traces.len - sizeof(before), sizeof(before));
	if (!p->traces.len || hash != before)
		buf__add(&p->traces, &hash, sizeof(hash));
	return p->traces.err;
}

/* Span i of the open block. One that is no OTLP is kept, but cannot be found. */
static int index_span(struct partition *p, unsigned int i)
{
	struct block_span span = block__span(&p->block, i);
	unsigned int ordinal = p->blocks << STORE_BLOCK_BITS | i;
	struct view service;
	const uint64_t *terms;
	struct row row;
	size_t n;
	int ret = index_contexts(p, span.context);

	if (ret)
		return ret;
	service = (struct view){ (const char *)p->services.at +
					 p->context_terms[span.context].service,
				 p->context_terms[span.context].service_len };
	ret = terms__span(&p->pairs, span.span, span.resource, service, ordinal, &row);
	if (ret)
		return ret == -EPROTO ? 0 : ret;
	ret = digest__add(&p->digest, &row);
	if (ret)
		return ret;
	n = p->context_terms[span.context].n;
	if (!pairs__room(&p->pairs, n))
		return -ENOMEM;
	terms = (const uint64_t *)p->terms.at + p->context_terms[span.context].from;
	for (size_t t = 0; t < n; t++)
		pairs__add(&p->pairs, terms[t], ordinal);
	return add_trace(p, row.span.trace_id);
}

static int run_statement(struct partition *p, sqlite3_stmt *stmt)
{
	int code = sqlite3_step(stmt);

	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return store_errno(p->db, code);
}

static int write_block(struct partition *p)
{
	sqlite3_stmt *put = p->put[PUT_BLOCK];
	int ret;

	if (!p->changed)
		return 0;
	ret = block__pack(&p->block, p->zstd, &p->scratch);
	if (ret)
		return ret;
	sqlite3_bind_int64(put, 1, (sqlite3_int64)block_id(p));
	sqlite3_bind_int64(put, 2, p->block.n_spans);
	sqlite3_bind_blob(put, 3, p->scratch.at, (int)p->scratch.len, SQLITE_STATIC);
	ret = run_statement(p, put);
	p->changed = p->changed && ret;
	return ret;
}

/* Of the segment's complete blocks, of which the open one holds nothing yet. */
static int write_digest(struct partition *p)
{
	sqlite3_stmt *put = p->put[PUT_DIGEST];
	int ret = digest__encode(&p->digest, &p->scratch);

	if (ret)
		return ret;
	p->undigested = p->undigested_blocks = 0;
	sqlite3_bind_int64(put, 1, (sqlite3_int64)p->segment);
	sqlite3_bind_int64(put, 2, p->blocks);
	sqlite3_bind_blob(put, 3, p->scratch.at, (int)p->scratch.len, SQLITE_STATIC);
	return run_statement(p, put);
}

/* Traces become sorted, each once. */
static int sort_traces(struct partition *p, struct pairs *scratch)
{
	struct pairs traces = { .at = (uint64_t *)p->traces.at, .n = p->traces.len / 8 };
	int ret = traces.n ? pairs__sort(&traces, scratch) : 0;

	p->traces.len = 8 * traces.n;
	return ret;
}

static int write_pages(struct partition *p, struct buf *directory)
{
	sqlite3_stmt *put = p->put[PUT_POSTING];
	uint64_t page = 0;
	size_t at = 0;
	int ret = 0;

	while (at < p->pairs.n && !ret) {
		uint64_t first = p->pairs.at[at] >> POSTING_ORDINAL_BITS;

		buf__add(directory, &first, sizeof(first));
		buf__clear(&p->scratch);
		ret = posting__page(&p->scratch, &p->pairs, &at);
		if (ret)
			break;
		sqlite3_bind_int64(put, 1,
				   (sqlite3_int64)(p->segment << STORE_PAGES_BITS | page++));
		sqlite3_bind_blob(put, 2, p->scratch.at, (int)p->scratch.len, SQLITE_STATIC);
		ret = run_statement(p, put);
	}
	posting__seal(directory, 0);
	return ret ? ret : directory->err;
}

/* The segment gets its postings; the next one begins. */
static int seal(struct partition *p)
{
	sqlite3_stmt *put = p->put[PUT_SEGMENT];
	struct buf directory = { 0 };
	struct pairs scratch = { 0 };
	int ret = pairs__sort(&p->pairs, &scratch);

	if (!ret)
		ret = sort_traces(p, &scratch);
	pairs__free(&scratch);
	if (!ret)
		ret = write_pages(p, &directory);
	if (!ret) {
		sqlite3_bind_int64(put, 1, (sqlite3_int64)p->segment);
		sqlite3_bind_int64(put, 2, p->blocks);
		sqlite3_bind_int64(put, 3, p->spans);
		sqlite3_bind_blob(put, 4, directory.at, (int)directory.len, SQLITE_STATIC);
		sqlite3_bind_blob(put, 5, p->traces.at ? (const void *)p->traces.at : "",
				  (int)p->traces.len, SQLITE_STATIC);
		ret = run_statement(p, put);
	}
	if (!ret)
		ret = write_digest(p);
	buf__free(&directory);
	digest__clear(&p->digest);
	p->undigested = p->undigested_blocks = 0;
	p->segment++;
	p->blocks = p->spans = 0;
	p->pairs.n = 0;
	buf__clear(&p->traces);
	begin_block(p);
	return ret;
}

static bool digest_due(const struct partition *p)
{
	size_t size = p->digest.text.len + p->digest.n * sizeof(*p->digest.operations);

	return p->undigested_blocks >= DIGEST_BLOCKS_MIN && p->undigested / DIGEST_SHARE >= size;
}

static int end_block(struct partition *p)
{
	int ret = write_block(p);

	if (ret)
		return ret;
	p->spans += p->block.n_spans;
	p->undigested += p->block.plain.len;
	p->undigested_blocks++;
	p->blocks++;
	if (p->blocks == STORE_SEGMENT_BLOCKS)
		return seal(p);
	begin_block(p);
	return digest_due(p) ? write_digest(p) : 0;
}

int partition__add(struct partition *p, struct view resource, struct view scope, struct view span)
{
	int ret = block__full(&p->block) ? end_block(p) : 0;

	if (!ret)
		ret = block__add(&p->block, resource, scope, span);
	if (ret == -EMSGSIZE && p->block.n_spans) {
		ret = end_block(p);
		if (!ret)
			ret = block__add(&p->block, resource, scope, span);
	}
	if (ret)
		return ret;
	p->changed = true;
	return index_span(p, p->block.n_spans - 1);
}

int partition__begin(struct partition *p)
{
	return store_errno(p->db, sqlite3_exec(p->db, "BEGIN IMMEDIATE", NULL, NULL, NULL));
}

int partition__note(struct partition *p, const struct partition_account *account)
{
	sqlite3_stmt *put = p->put[PUT_ACCOUNT];

	sqlite3_bind_int64(put, 1, (sqlite3_int64)account->run);
	sqlite3_bind_int64(put, 2, (sqlite3_int64)account->acked);
	sqlite3_bind_int64(put, 3, (sqlite3_int64)account->evicted);
	return run_statement(p, put);
}

int partition__commit(struct partition *p, const struct partition_account *account)
{
	int ret = write_block(p);

	if (!ret)
		ret = partition__note(p, account);
	return ret ? ret : partition__end(p);
}

int partition__end(struct partition *p)
{
	return store_errno(p->db, sqlite3_exec(p->db, "COMMIT", NULL, NULL, NULL));
}

void partition__undo(struct partition *p)
{
	if (!sqlite3_get_autocommit(p->db))
		sqlite3_exec(p->db, "ROLLBACK", NULL, NULL, NULL);
}

int partition__give_up(struct partition *p, uint64_t number, bool *ret_again)
{
	int ret;

	sqlite3_bind_int64(p->put[PUT_GIVEN_UP], 1, (sqlite3_int64)number);
	ret = run_statement(p, p->put[PUT_GIVEN_UP]);
	*ret_again = !ret && !sqlite3_changes(p->db);
	return ret;
}

int partition__merge(struct partition *p)
{
	int ret;

	if (p->segment < (p->groups + 1) * STORE_GROUP || p->segment < p->merge_again)
		return 0;
	ret = merge__group(p->db, p->groups);
	if (!ret)
		p->groups++;
	else
		p->merge_again = ret == -EPROTO ? UINT64_MAX : p->segment + 1;
	return ret;
}

int partition__finish(struct partition *p)
{
	int ret = partition__begin(p);

	if (!ret && p->block.n_spans)
		ret = end_block(p);
	if (!ret && p->blocks)
		ret = seal(p);
	return ret ? ret : partition__end(p);
}

int partition__mark_lost(struct partition *p, const uint64_t *traces, size_t n)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		sqlite3_bind_int64(p->put[PUT_LOST], 1, (sqlite3_int64)traces[i]);
		ret = run_statement(p, p->put[PUT_LOST]);
	}
	return ret;
}

void partition__own_traces(struct partition *p, struct buf *out)
{
	partition__traces(p->db, out, NULL);
	buf__add(out, p->traces.at, p->traces.len);
}

uint64_t partition__bytes(struct partition *p)
{
	int ret;
	int64_t pages = store_number(p->db, "PRAGMA page_count", &ret);

	return ret || pages < 0 ? 0 : (uint64_t)pages * (uint64_t)p->page_bytes;
}

sqlite3 *partition__db(struct partition *p)
{
	return p->db;
}

uint64_t partition__number(const struct partition *p)
{
	return p->number;
}

const char *partition__why(struct partition *p)
{
	return sqlite3_errmsg(p->db);
}

/* One block of the open segment, as it was left; the last one is gone on with where it has room. */
static int resume_block(struct partition *p, ZSTD_DCtx *zstd, uint64_t id, struct view data)
{
	int ret;

	if (p->block.n_spans && block__full(&p->block))
		return -EPROTO;
	if (id != block_id(p))
		return -EPROTO;
	ret = block__unpack(&p->block, zstd, data, id);
	for (unsigned int i = 0; i < p->block.n_spans && !ret; i++)
		ret = index_span(p, i);
	return ret;
}

/* Complete blocks but the last: the next id tells. */
static int resume_segment(struct partition *p, ZSTD_DCtx *zstd)
{
	sqlite3_stmt *stmt = NULL;
	int ret = 0, code;

	code = sqlite3_prepare_v2(p->db, "SELECT id, data FROM block WHERE id>=?1 ORDER BY id", -1,
				  &stmt, NULL);
	if (code == SQLITE_OK)
		sqlite3_bind_int64(stmt, 1, (sqlite3_int64)(p->segment << STORE_SEGMENT_BITS));
	while (!ret && (code == SQLITE_OK || code == SQLITE_ROW)) {
		code = sqlite3_step(stmt);
		if (code != SQLITE_ROW)
			break;
		if (p->block.n_spans) {
			p->spans += p->block.n_spans;
			p->undigested += p->block.plain.len;
			p->undigested_blocks++;
			p->blocks++;
			begin_block(p);
		}
		if (p->blocks == STORE_SEGMENT_BLOCKS)
			ret = -EPROTO;
		else
			ret = resume_block(p, zstd, (uint64_t)sqlite3_column_int64(stmt, 0),
					   (struct view){ sqlite3_column_blob(stmt, 1),
							  (size_t)sqlite3_column_bytes(stmt, 1) });
	}
	if (!ret)
		ret = store_errno(p->db, code);
	sqlite3_finalize(stmt);
	return ret;
}

static int resume(struct partition *p)
{
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	int ret = 0;
	int64_t last = zstd ? store_number(p->db, "SELECT max(id) FROM segment", &ret) : -1;

	if (!zstd)
		return -ENOMEM;
	p->segment = (uint64_t)(last + 1);
	if (!ret)
		p->groups = merge__groups(p->db, &ret);
	begin_block(p);
	if (!ret)
		ret = resume_segment(p, zstd);
	ZSTD_freeDCtx(zstd);
	return ret;
}

/* The whole file is looked at: what is written on must be sound. */
static int sound(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
	const char *text = NULL;
	int ret;

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		text = (const char *)sqlite3_column_text(stmt, 0);
	ret = store_errno(db, code);
	if (!ret && (!text || strcmp(text, "ok")))
		ret = -EPROTO;
	sqlite3_finalize(stmt);
	return ret;
}

static int prepare(struct partition *p)
{
	int code = SQLITE_OK;

	for (int i = 0; i < STATEMENTS && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(p->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
					  &p->put[i], NULL);
	return store_errno(p->db, code);
}

static int set_up(struct partition *p, const char *path, struct err *err)
{
	int version = 0, ret = store_file__check(p->db, path, &version, err);

	/* A newer file, or none of ours, stays as it is. */
	if (ret)
		return ret;
	p->ours = true;
	ret = store_errno(p->db,
			  sqlite3_exec(p->db,
				       version ? SETTINGS : "PRAGMA page_size=8192;" SETTINGS, NULL,
				       NULL, NULL));
	if (!ret && !version)
		ret = store_errno(p->db, sqlite3_exec(p->db, "BEGIN IMMEDIATE;" SCHEMA "COMMIT;",
						      NULL, NULL, NULL));
	else if (!ret)
		ret = sound(p->db);
	if (!ret && version)
		ret = store_file__migrate(p->db, version, STORE_VERSION, migrations);
	if (!ret)
		ret = prepare(p);
	if (!ret)
		ret = resume(p);
	if (ret)
		err__set(err, ret, "%s cannot be written: %s", path,
			 ret == -EPROTO ? "it is damaged" : strerror(-ret));
	p->page_bytes = ret ? 0 : (int)store_number(p->db, "PRAGMA page_size", &ret);
	return ret;
}

/*
 * The owner alone may read what was traced, and the group where the process lets it (umask): of the role that
 * serves. SQLite gives its other files the same mode.
 */
static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int partition__open(struct partition **ret_partition, const char *folder, uint64_t number,
		    bool make, struct err *err)
{
	struct partition *p = calloc(1, sizeof(*p));
	char path[STORE_PATH_MAX];
	int ret = 0;

	if (!p)
		return err__set(err, -ENOMEM, "the store has no memory");
	p->number = number;
	store_file__path(path, folder, number, false);
	p->zstd = ZSTD_createCCtx();
	if (!p->zstd)
		ret = err__set(err, -ENOMEM, "the store has no memory");
	if (!ret && make) {
		ret = make_file(path);
		if (ret)
			err__set(err, ret, "%s cannot be made: %s", path, strerror(-ret));
	}
	if (!ret) {
		ret = store_errno(NULL, sqlite3_open_v2(path, &p->db,
							SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
							store_vfs()));
		if (ret)
			ret = err__set(err,
				       p->db && sqlite3_system_errno(p->db) ?
					       -sqlite3_system_errno(p->db) :
					       ret,
				       "%s cannot be opened: %s", path,
				       p->db ? sqlite3_errmsg(p->db) : strerror(-ret));
	}
	if (!ret) {
		sqlite3_extended_result_codes(p->db, 1);
		ret = set_up(p, path, err);
	}
	if (ret)
		partition__close(p);
	else
		*ret_partition = p;
	return ret;
}

void partition__close(struct partition *p)
{
	if (!p)
		return;
	for (int i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(p->put[i]);
	if (p->db && !sqlite3_get_autocommit(p->db))
		sqlite3_exec(p->db, "ROLLBACK", NULL, NULL, NULL);
	if (p->ours)
		sqlite3_exec(p->db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	sqlite3_close(p->db);
	ZSTD_freeCCtx(p->zstd);
	pairs__free(&p->pairs);
	block__free(&p->block);
	buf__free(&p->traces);
	buf__free(&p->terms);
	buf__free(&p->services);
	buf__free(&p->scratch);
	digest__free(&p->digest);
	free(p);
}
