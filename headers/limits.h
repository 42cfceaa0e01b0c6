/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Every bound that the kernel side and the user side must agree on, by name. A number that bounds
 * only one side lives with that side. Reaching a bound is counted (counters.h), never fatal.
 */
#ifndef SONDE_LIMITS_H
#define SONDE_LIMITS_H

/* Payload areas of a record: the size classes (see research on ring size: classes halve the cost). */
#define SONDE_CLASS_0_BYTES 128
#define SONDE_CLASS_1_BYTES 256
#define SONDE_CLASS_2_BYTES 512
#define SONDE_CLASS_3_BYTES 1024
#define SONDE_CLASS_4_BYTES 4096
#define SONDE_CLASSES 5
/* A whole head in one record, the usual case: its area is a multiple of this, up to 1 KiB. */
#define SONDE_CLASS_STEP_BYTES 24

/* A message's head is captured up to here; what follows is counted, not copied. */
#define SONDE_HEAD_MAX_BYTES 16384
/* The body of a telemetry export (a trace export that a program sends itself) is captured up to here. */
#define SONDE_EXPORT_BODY_MAX_BYTES 65536
/* iovec segments of one call that are gathered into one record. */
#define SONDE_SEGMENTS_MAX 24

/* Connections whose state the kernel keeps at once (the hash tiers preallocate it). */
#define SONDE_CONNS_DEFAULT 32768
/* Of a TLS connection's first record in each direction so much is captured: the client's is a name's. */
#define SONDE_TLS_HELLO_BYTES 4096
#define SONDE_TLS_HELLO_SERVER_BYTES 256
/* Connections of TLS libraries whose state the kernel keeps at once. */
#define SONDE_TLS_STREAMS 4096
/* The same where all of it is there from the start: kernels before 6.1. */
#define SONDE_TLS_STREAMS_SMALL 1024
/* Processes that a scope by processes holds at once (preallocated in that case). */
#define SONDE_SCOPE_PROCESSES 16384
/* Streams of HTTP/2 whose DATA is counted at once. */
#define SONDE_STREAMS 4096
/* Slots in shared memory; a power of two. */
#define SONDE_SLOTS_DEFAULT 32768
/* Places tried for a free slot before a connection goes without one. */
#define SONDE_SLOT_TRIES 4

#define SONDE_RING_DEFAULT_BYTES (256 * 1024)
/* Kept free in the ring for records of life (CONN, GONE, EXIT): payload gives way first. */
#define SONDE_RING_LIFE_BYTES 8192
#define SONDE_PROC_RING_BYTES (64 * 1024)

#define SONDE_COMM_BYTES 16
#define SONDE_CPUS_MAX 1024

#endif
