// SPDX-License-Identifier: Apache-2.0
/* Spans for a person: lines or waterfalls, a summary at the end; filtered, and no more than wanted. */
#include "ship/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ship/console/line.h"
#include "ship/console/summary.h"
#include "ship/console/tree.h"
#include "ship/console/where.h"
#include "ship/sink/writer.h"

struct sink_console {
	struct sink sink;
	const struct ship_console *config;
	struct loop *loop;
	struct writer writer;
	struct line_style style;
	struct where *where;
	struct tree *tree;
	struct summary *summary;
	struct buf out;	    /* lines of this turn */
	uint64_t out_spans; /* spans in them */
	uint64_t shown;
	bool headed, finished;
};

static struct sink_console *of(const struct sink *sink)
{
	return (struct sink_console *)sink;
}

/* The span needs no line (filtered, beyond the limit, only summed up): it is dealt with. */
static void count_done(struct sink_console *c, uint64_t spans)
{
	c->sink.account->queued -= spans;
	c->sink.account->acked += spans;
}

static bool limit_reached(const struct sink_console *c)
{
	return c->config->limit && c->shown >= c->config->limit;
}

static void add_line(struct sink_console *c, const struct row *row)
{
	if (!c->headed && c->config->lines)
		line__heading(&c->out, &c->style);
	c->headed = true;
	line__add(&c->out, &c->style, row);
	c->out_spans++;
	c->shown++;
	if (limit_reached(c))
		loop__want_stop(c->loop, STOP_ALL);
}

/* A whole trace, from the tree: one piece of text for `spans` spans. */
static void on_trace(void *arg, struct view text, uint64_t spans)
{
	struct sink_console *c = arg;

	buf__add_view(&c->out, text);
	c->out_spans += spans;
	c->shown += spans;
	if (limit_reached(c))
		loop__want_stop(c->loop, STOP_ALL);
}

static void on_forgotten(void *arg, uint64_t spans)
{
	count_done(arg, spans);
}

static void console__span(struct sink *sink, const struct ship_span *span, uint64_t now)
{
	struct account_sink *account = sink->account;
	struct sink_console *c = of(sink);
	struct row row;

	account->spans++;
	if (c->summary)
		summary__count(c->summary, &span->head);
	if (!span->head.sampled) {
		account->unsampled++;
		return;
	}
	account->queued++;
	if (row__read(&row, span->bytes, blob__view(span->resource))) {
		account->queued--;
		account->dropped_write++;
		return;
	}
	if (c->summary)
		summary__name(c->summary, &span->head, &row);
	if (limit_reached(c) || (!c->tree && !where__matches(c->where, &row))) {
		count_done(c, 1);
	} else if (c->tree) {
		if (tree__add(c->tree, &span->head, &row, span->resource, now)) {
			account->queued--;
			account->dropped_queue_full++;
		}
	} else if (c->config->lines) {
		add_line(c, &row);
	} else {
		count_done(c, 1);
	}
}

static void flush(struct sink_console *c)
{
	if (c->out.len)
		writer__put(&c->writer, (struct view){ (const char *)c->out.at, c->out.len },
			    c->out_spans);
	else if (c->out_spans)
		count_done(c, c->out_spans);
	c->out_spans = 0;
	buf__clear(&c->out);
}

static void console__work(struct sink *sink, uint64_t now)
{
	struct sink_console *c = of(sink);

	if (c->tree)
		tree__work(c->tree, now);
	flush(c);
	writer__work(&c->writer);
	if (!c->writer.error)
		return;
	/* `sonde trace … | head`: the reader has what it wanted. */
	if (c->writer.error != EPIPE)
		log_error("console: writing failed: %s", strerror(c->writer.error));
	c->writer.error = 0;
	if (c->writer.dead)
		loop__want_stop(c->loop, STOP_SINK);
}

static uint64_t console__timer(const struct sink *sink)
{
	return of(sink)->tree ? tree__timer(of(sink)->tree) : 0;
}

static void console__finish(struct sink *sink, uint64_t now)
{
	struct sink_console *c = of(sink);

	if (c->finished)
		return;
	c->finished = true;
	if (c->tree)
		tree__flush(c->tree);
	if (c->summary)
		summary__print(c->summary, &c->out, &c->style);
	console__work(sink, now);
}

static bool console__busy(const struct sink *sink)
{
	return writer__busy(&of(sink)->writer);
}

static void console__abandon(struct sink *sink)
{
	writer__abandon(&of(sink)->writer);
}

static void console__free(struct sink *sink)
{
	struct sink_console *c = of(sink);

	writer__close(&c->writer);
	tree__free(c->tree);
	summary__free(c->summary);
	where__free(c->where);
	buf__free(&c->out);
	free(c);
}

static const struct sink_ops ops = {
	.span = console__span,
	.work = console__work,
	.timer = console__timer,
	.finish = console__finish,
	.busy = console__busy,
	.abandon = console__abandon,
	.free = console__free,
};

static int set_up(struct sink_console *c, struct err *err)
{
	const struct ship_console *config = c->config;
	struct tree_config tree = {
		.style = &c->style, .trace = on_trace, .forgotten = on_forgotten, .arg = c
	};
	int ret = 0;

	if (config->where)
		ret = where__parse(config->where, &c->where, err);
	if (ret)
		return ret;
	if (config->tree) {
		tree.where = c->where;
		c->tree = tree__new(&tree);
		if (!c->tree)
			return -ENOMEM;
	}
	if (config->summary) {
		c->summary = summary__new();
		if (!c->summary)
			return -ENOMEM;
	}
	return writer__open(&c->writer, config->fd, c->loop, c->sink.account);
}

struct sink *sink_console__new(const struct ship_console *config, struct account_sink *account,
			       struct loop *loop, struct err *err)
{
	struct sink_console *c = calloc(1, sizeof(*c));
	int ret;

	if (!c) {
		err__set(err, -ENOMEM, "console: out of memory");
		return NULL;
	}
	c->sink = (struct sink){ &ops, account };
	c->config = config;
	c->loop = loop;
	c->style = (struct line_style){ .color = config->color,
					.unicode = config->unicode,
					.headers = config->headers,
					.width = config->width,
					.utc_offset_s = config->utc_offset_s };
	ret = set_up(c, err);
	if (!ret)
		return &c->sink;
	if (err && !*err->text)
		err__set(err, ret, "console: descriptor %d cannot be used: %s", config->fd,
			 strerror(-ret));
	tree__free(c->tree);
	summary__free(c->summary);
	where__free(c->where);
	free(c);
	return NULL;
}
