/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers that a process has read: one that it writes with the same trace and parent ids is passed
 * on, not made by the process.
 */
#ifndef SONDE_CORE_LINK_PASSING_H
#define SONDE_CORE_LINK_PASSING_H

#include "core/link.h"

/* The entry of the node's header in its process, not older than LINK_PASSING_NS; NULL: none. */
struct passing *passing__find(const struct links *links, const struct node *node);
/* A server node with a header was opened. Where there is no room the header is not remembered. */
void passing__read(struct links *links, struct node *node);
/* It is no longer open. */
void passing__closed(struct node *node);
void passing__expire(struct links *links);
void passing__release(struct links *links);

#endif
