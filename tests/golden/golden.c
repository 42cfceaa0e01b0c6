// SPDX-License-Identifier: Apache-2.0
/*
 * golden FILE: a script of what programs did, through a kernel side in miniature and the whole core;
 * prints the frames that come out, spans as OTLP JSON, and the account.
 *
 *   process TGID RUNTIME SERVICE [sdk]      who a process is (RUNTIME: a number of message.h)
 *   conn NAME client|server|unknown TGID [mid] [bases TX RX]
 *   rx|tx NAME "bytes"                      one call; \r \n \t \\ \" \xHH
 *   each rx|tx NAME "bytes"                 the same, one call a byte
 *   body rx|tx NAME COUNT                   COUNT bytes of a body, in one call
 *   thread NAME TID                         who reads and writes from now on
 *   held NAME OTHER                         what this thread has in hand: the latest turn of OTHER
 *   lose on|off                             records do not arrive
 *   unsure on|off                           calls say what was asked for
 *   wait MS
 *   shut rx|tx|reset NAME                   gone NAME          reset NAME
 *   exit TGID                               exec TGID          end
 *   set headers|query_values|sampler N      before the first conn
 */
#include "sim.h"

#include "core/frame.h"
#include "core/otlp_json.h"
#include "registry.h"

struct golden {
	struct sim sim;
	struct buf frames, text;
	char names[SIM_CONNS][16];
	bool opened;
	const char *path;
	unsigned int line;
};

static void __attribute__((noreturn, format(printf, 2, 3)))
refuse(const struct golden *g, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%u: ", g->path, g->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

static struct sim_conn *conn_of(struct golden *g, const char *name)
{
	for (uint32_t i = 0; i < g->sim.n_conns; i++)
		if (!strcmp(g->names[i], name))
			return &g->sim.conns[i];
	refuse(g, "no connection %s", name);
}

static void open_sim(struct golden *g)
{
	struct message_clock clock = { 1000000, 1700000000000000000ll };

	if (g->opened)
		return;
	g->opened = true;
	memcpy(g->sim.config.fleet_key, "golden fleet key", 16);
	memcpy(g->sim.config.boot_id, "golden boot id..", 16);
	memcpy(g->sim.config.host_key, "host key", 8);
	sim_open(&g->sim);
	g->sim.frames = &g->frames;
	sim_feed(&g->sim, MSG_CLOCK, &clock, sizeof(clock));
}

/* Unescapes a quoted string in place; the length goes to *ret_len. */
static char *quoted(struct golden *g, char *at, size_t *ret_len)
{
	char *to = at + 1, *start = to;

	if (*at != '"')
		refuse(g, "a quoted string is wanted");
	for (at++; *at != '"'; at++) {
		unsigned int byte;

		if (!*at)
			refuse(g, "the string has no end");
		if (*at != '\\') {
			*to++ = *at;
			continue;
		}
		switch (*++at) {
		case 'r':
			*to++ = '\r';
			break;
		case 'n':
			*to++ = '\n';
			break;
		case 't':
			*to++ = '\t';
			break;
		case 'x':
			if (sscanf(at + 1, "%2x", &byte) != 1)
				refuse(g, "\\x wants two hex digits");
			*to++ = (char)byte;
			at += 2;
			break;
		default:
			*to++ = *at;
		}
	}
	*ret_len = (size_t)(to - start);
	return start;
}

static void do_process(struct golden *g, unsigned int tgid, unsigned int runtime,
		       const char *service, bool sdk)
{
	struct {
		struct message_process p;
		uint8_t bytes[128];
	} m = { .p = { .tgid_start_ns = 7,
		       .tgid = tgid,
		       .runtime = (uint16_t)runtime,
		       .attributes = 1 } };
	uint16_t lens[2] = { 12, (uint16_t)strlen(service) };

	open_sim(g);
	m.p.flags = sdk ? PROCESS_SDK : 0;
	memcpy(m.bytes, lens, 4);
	memcpy(m.bytes + 8, "service.name", 12);
	memcpy(m.bytes + 20, service, lens[1]);
	sim_feed(&g->sim, MSG_PROCESS, &m, sizeof(m.p) + 20 + lens[1]);
}

static void do_conn(struct golden *g, char *rest)
{
	char name[16], role[16], mid[16] = "";
	unsigned int tgid, tx = 0, rx = 0;

	open_sim(g);
	if (sscanf(rest, "%15s %15s %u %15s", name, role, &tgid, mid) < 3)
		refuse(g, "conn NAME client|server|unknown TGID");
	if (strstr(rest, "bases") && sscanf(strstr(rest, "bases"), "bases %u %u", &tx, &rx) != 2)
		refuse(g, "bases TX RX");
	if (g->sim.n_conns == SIM_CONNS)
		refuse(g, "too many connections");
	strcpy(g->names[g->sim.n_conns], name);
	g->sim.tgid = tgid;
	g->sim.tx_base = tx;
	g->sim.rx_base = rx;
	sim_connect(&g->sim,
		    !strcmp(role, "client") ? SONDE_ROLE_ACTIVE :
		    !strcmp(role, "server") ? SONDE_ROLE_PASSIVE :
					      SONDE_ROLE_UNKNOWN,
		    strcmp(mid, "mid") != 0);
}

static int direction_of(struct golden *g, const char *word)
{
	if (strcmp(word, "rx") && strcmp(word, "tx"))
		refuse(g, "rx or tx, not %s", word);
	return word[0] == 't' ? TX : RX;
}

static void do_bytes(struct golden *g, const char *dir, char *rest, bool each)
{
	char *space = strchr(rest, ' '), *bytes;
	struct sim_conn *c;
	size_t len;

	if (!space)
		refuse(g, "NAME \"bytes\"");
	*space = 0;
	c = conn_of(g, rest);
	bytes = quoted(g, space + 1, &len);
	for (size_t i = 0; each && i < len; i++)
		sim_call(c, direction_of(g, dir), bytes + i, 1);
	if (!each)
		sim_call(c, direction_of(g, dir), bytes, len);
}

static void do_set(struct golden *g, const char *what, unsigned int value)
{
	if (g->opened)
		refuse(g, "set comes first");
	if (!strcmp(what, "headers"))
		g->sim.config.headers = value;
	else if (!strcmp(what, "query_values"))
		g->sim.config.query_values = value;
	else if (!strcmp(what, "sampler"))
		g->sim.config.sampler = value;
	else
		refuse(g, "set what?");
}

/* The words with names and numbers. */
static void do_other(struct golden *g, const char *verb, char *rest)
{
	char a[32] = "", b[32] = "", c[64] = "", d[16] = "";
	int n = sscanf(rest, "%31s %31s %63s %15s", a, b, c, d);

	if (!strcmp(verb, "process") && n >= 3)
		do_process(g, (unsigned int)atoi(a), (unsigned int)atoi(b), c, !strcmp(d, "sdk"));
	else if (!strcmp(verb, "set") && n >= 1)
		do_set(g, a, n > 1 ? (unsigned int)atoi(b) : 1);
	else if (!strcmp(verb, "body") && n == 3)
		sim_body(conn_of(g, b), direction_of(g, a), (size_t)atoi(c));
	else if (!strcmp(verb, "thread") && n == 2)
		conn_of(g, a)->tid = (uint32_t)atoi(b);
	else if (!strcmp(verb, "held") && n == 2)
		for (int i = 0; i < SONDE_EV_KINDS; i++)
			conn_of(g, a)->evidence.at[i] =
				(struct sonde_turn_ref){ conn_of(g, b)->id, conn_of(g, b)->turn,
							 conn_of(g, b)->tid };
	else if (!strcmp(verb, "lose") && n == 1)
		g->sim.lose = !strcmp(a, "on");
	else if (!strcmp(verb, "unsure") && n == 1)
		g->sim.unsure = !strcmp(a, "on");
	else if (!strcmp(verb, "wait") && n == 1)
		sim_wait(&g->sim, strtoull(a, NULL, 10) * 1000000);
	else if (!strcmp(verb, "shut") && n == 2)
		sim_over(conn_of(g, b), SONDE_REC_SHUT,
			 !strcmp(a, "reset")	  ? SONDE_F_RESET :
			 direction_of(g, a) == TX ? SONDE_F_TX :
						    0);
	else if ((!strcmp(verb, "gone") || !strcmp(verb, "reset")) && n == 1)
		sim_over(conn_of(g, a), SONDE_REC_GONE, verb[0] == 'r' ? SONDE_F_RESET : 0);
	else if (!strcmp(verb, "exit") || !strcmp(verb, "exec"))
		sim_process_end(&g->sim, verb[2] == 'i' ? SONDE_REC_EXIT : SONDE_REC_EXEC,
				(uint32_t)atoi(a));
	else if (!strcmp(verb, "end"))
		sim_feed(&g->sim, MSG_END, NULL, 0);
	else
		refuse(g, "what is '%s %s'?", verb, rest);
}

static void do_line(struct golden *g, char *line)
{
	char *rest = strchr(line, ' ');

	line[strcspn(line, "\n")] = 0;
	if (!*line || *line == '#')
		return;
	if (rest)
		*rest++ = 0;
	else
		rest = line + strlen(line);
	if (!strcmp(line, "conn"))
		do_conn(g, rest);
	else if (!strcmp(line, "rx") || !strcmp(line, "tx"))
		do_bytes(g, line, rest, false);
	else if (!strcmp(line, "each") && strlen(rest) > 3 && rest[2] == ' ') {
		rest[2] = 0;
		do_bytes(g, rest, rest + 3, true);
	} else
		do_other(g, line, rest);
}

static void print_frame(struct golden *g, const struct frame_header *header, const uint8_t *body)
{
	static const char *const kinds[] = { "", "resource", "scope", "span" };
	size_t head = header->type == FRAME_RESOURCE ? 8 :
		      header->type == FRAME_SCOPE    ? 4 :
						       sizeof(struct frame_span);
	struct view message = { (const char *)body + head, header->length - head };
	struct frame_span span;
	uint32_t n;
	int err;

	buf__clear(&g->text);
	memcpy(&n, body, 4);
	if (header->type == FRAME_SPAN) {
		memcpy(&span, body, sizeof(span));
		printf("span resource %u scope %u sampled %u flags %u link %s %u%% operation "
		       "%016lx\n",
		       span.resource, span.scope, span.sampled, span.flags,
		       link_method_name[span.link_method], span.confidence, span.operation);
		if (!message.len)
			return;
		err = otlp_json__span(&g->text, message);
	} else {
		printf("%s %u\n", kinds[header->type], n);
		err = header->type == FRAME_RESOURCE ? otlp_json__resource(&g->text, message) :
						       otlp_json__scope(&g->text, message);
	}
	printf("  %s%.*s\n", err ? "not OTLP " : "", (int)g->text.len, (char *)g->text.at);
}

static void print_all(struct golden *g)
{
	const uint8_t *at = g->frames.at, *body;
	size_t left = g->frames.len;
	struct frame_header header;
	long n;

	while ((n = frame__next(at, left, &header, &body)) > 0) {
		print_frame(g, &header, body);
		at += n;
		left -= (size_t)n;
	}
#define X(name, comment)                                                                           \
	if (g->sim.account.trace.name)                                                             \
		printf("%s %lu\n", #name, g->sim.account.trace.name);
	ACCOUNT_TRACE(X)
#undef X
}

int main(int argc, char **argv)
{
	static struct golden g;
	static char line[32768];
	FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;

	if (!f) {
		fprintf(stderr, "usage: golden FILE\n");
		return 2;
	}
	g.path = argv[1];
	while (fgets(line, sizeof(line), f)) {
		g.line++;
		do_line(&g, line);
	}
	fclose(f);
	open_sim(&g);
	print_all(&g);
	sim_close(&g.sim);
	buf__free(&g.frames);
	buf__free(&g.text);
	return 0;
}
