/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thread evidence: the kernel says which request's head the thread had read last when it wrote (or
 * opened the connection for) a call. That is a parent only where a thread runs one request at a
 * time, so it counts only while that request is the single one open on the thread, its turn holds
 * no other, the runtime keeps a request on its thread, and what is seen of it does not speak
 * against that: the call ends before the response does, and the response is begun by the thread
 * that read the request.
 */
#ifndef SONDE_CORE_LINK_THREAD_H
#define SONDE_CORE_LINK_THREAD_H

#include "core/link.h"

void thread__opened(struct links *links, struct node *server);
void thread__closed(struct links *links, struct node *server);
/*
 * Finds the candidate of a client node: node->candidate, node->method, node->candidates. False:
 * there are open requests in the process, but none that the evidence names without doubt.
 */
bool thread__candidate(struct links *links, struct node *client);
/* 1: the candidate is the parent, -1: it is refused, 0: too early to say (never with force). */
int thread__weigh(const struct links *links, const struct node *client, bool force);
/* The process is known to run a request on the thread that read it, as far as it was seen. */
bool thread__is_request(const struct process *process);

#endif
