/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to OTLP backends over libcurl's multi interface in the role's own loop. A transfer is
 * one destination and has one request in flight at most; its connection is kept open. Certificates
 * and keys are read anew for every connection, so that a rotated file needs no restart.
 */
#ifndef SONDE_SHIP_TRANSFER_H
#define SONDE_SHIP_TRANSFER_H

#include "ship/export/retry.h"
#include "ship/loop.h"
#include "ship/ship.h"

struct transfers;
struct transfers *transfers__new(struct loop *loop);
void transfers__free(struct transfers *transfers);
/* When transfers__work() is wanted; 0: never. */
uint64_t transfers__timer(const struct transfers *transfers);
/* Timers of libcurl, and requests that have ended. */
void transfers__work(struct transfers *transfers, uint64_t now);

struct transfer_result {
	struct answer answer;
	bool sent;	   /* the whole request had left when it failed: the answer is not known */
	const char *error; /* when there was no answer: why; else NULL */
};

struct transfer;
/* done is called from transfers__work(), never from transfer__send(). config is borrowed. */
struct transfer *transfer__new(struct transfers *transfers, const struct ship_otlp *config,
			       void (*done)(void *arg, const struct transfer_result *result),
			       void *arg, struct err *err);
void transfer__free(struct transfer *transfer);
/* What is sent: bytes that lie in memory, or, where at is NULL, that are read as they go. */
struct transfer_body {
	const void *at;
	size_t len;
	size_t (*read)(void *arg, void *to,
		       size_t room); /* the next ones; never none before the end */
	void (*rewind)(void *arg);   /* from the front once more */
	void *arg;
};
/* Sends body (borrowed until done), in content-encoding `encoding` (NULL: plain). 0 or -ENOMEM. */
int transfer__send(struct transfer *transfer, const struct transfer_body *body,
		   const char *encoding);
/* Breaks a request off. True when all of it had been sent. */
bool transfer__cancel(struct transfer *transfer);

#endif
