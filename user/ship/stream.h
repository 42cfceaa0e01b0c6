/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from bytes: keeps resources and scopes by number and hands each span on with its own.
 * Bytes may be hostile, and may begin in the middle of a frame (when the reader before died):
 * then it looks for the next place where frames follow one another.
 */
#ifndef SONDE_SHIP_STREAM_H
#define SONDE_SHIP_STREAM_H

#include "ship/sink.h"

struct stream;

/* on_span is called for each span, with views that hold for the call. */
struct stream *stream__new(void (*on_span)(void *arg, const struct ship_span *span), void *arg);
/* on_pass is called with the bytes of each frame, or of what is none, before it is looked at. */
void stream__on_pass(struct stream *stream, void (*on_pass)(void *arg, size_t n), void *arg);
void stream__free(struct stream *stream);

/* Room for what is read next; *ret_room bytes, never 0. NULL: no memory. */
uint8_t *stream__room(struct stream *stream, size_t *ret_room);
/* n bytes were put there. */
void stream__feed(struct stream *stream, size_t n);
/* Bytes that were passed over because they were no frames. */
uint64_t stream__skipped(const struct stream *stream);

#endif
