// SPDX-License-Identifier: Apache-2.0
#include "serve/clients.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

static uint64_t due(const struct clients *s, const struct client *c)
{
	return c->since_ns + s->limits_ns[c->state];
}

static void unlink_client(struct clients *s, struct client *c)
{
	c->before->after = c->after;
	c->after->before = c->before;
	s->n--;
}

static void link_last(struct clients *s, struct client *c)
{
	c->before = s->ring.before;
	c->after = &s->ring;
	c->before->after = c;
	s->ring.before = c;
	c->since_ns = clock__boot_ns();
	s->n++;
	if (!s->next_ns || due(s, c) < s->next_ns)
		s->next_ns = due(s, c);
}

/* Whoever reads from it sees its end, and lets go. */
static void end_client(struct clients *s, struct client *c)
{
	shutdown(c->fd, SHUT_RDWR);
	clients__set(s, c, CLIENT_TAKES);
}

static void make_room(struct clients *s)
{
	struct client *c = s->ring.after;

	if (s->n < s->kept)
		return;
	for (; c != &s->ring; c = c->after) {
		if (c->state == CLIENT_TAKES)
			continue;
		end_client(s, c);
		return;
	}
}

void clients__begin(struct clients *s, unsigned int kept, const uint64_t limits_ns[CLIENT_STATES])
{
	*s = (struct clients){ .kept = kept };
	memcpy(s->limits_ns, limits_ns, sizeof(s->limits_ns));
	s->ring.before = s->ring.after = &s->ring;
}

struct client *clients__add(struct clients *s, int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	make_room(s);
	if (!c)
		return NULL;
	c->fd = fd;
	link_last(s, c);
	return c;
}

void clients__remove(struct clients *s, struct client *c)
{
	if (c)
		unlink_client(s, c);
	free(c);
}

void clients__set(struct clients *s, struct client *c, enum client_state state)
{
	if (!c)
		return;
	unlink_client(s, c);
	c->state = state;
	link_last(s, c);
}

uint64_t clients__end_slow(struct clients *s, uint64_t now)
{
	unsigned int n = s->n;

	if (!s->next_ns || now < s->next_ns)
		return s->next_ns;
	s->next_ns = 0;
	/* Those that are ended go behind the others, and are not met again. */
	for (struct client *c = s->ring.after, *after; n--; c = after) {
		after = c->after;
		if (due(s, c) <= now)
			end_client(s, c);
		else if (!s->next_ns || due(s, c) < s->next_ns)
			s->next_ns = due(s, c);
	}
	return s->next_ns;
}
