/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into the core: everything that the trace role receives, in the order in which it
 * receives it. `sonde record` writes these messages, `sonde replay` feeds them back; the core sees
 * no other input and no other clock, so a replay gives the same bytes.
 *
 * A message is a frame (frame.h: u32 length, u8 type, u8 version, u16 zero) and its body, native
 * byte order.
 */
#ifndef SONDE_CORE_MESSAGE_H
#define SONDE_CORE_MESSAGE_H

#include <stdint.h>

#include "../../headers/records.h"

enum message_type {
	MSG_RECORD = 64,  /* one kernel record: struct sonde_rec … */
	MSG_CLOCK = 65,	  /* struct message_clock: time goes on, timers run */
	MSG_PROCESS = 66, /* struct message_process + strings: who a process is */
	MSG_SLOT = 67,	  /* struct message_slot: a slot as it was read */
	MSG_END = 68,	  /* no more input: close what is open */
};

struct message_clock {
	uint64_t now_ns;	 /* CLOCK_BOOTTIME */
	int64_t epoch_offset_ns; /* CLOCK_REALTIME - CLOCK_BOOTTIME, now */
};

struct message_slot {
	uint32_t index;
	uint32_t pad;
	struct sonde_slot slot;
};

/* Language runtime of a process; registry: telemetry.sdk.language style names. */
enum runtime {
	RUNTIME_UNKNOWN = 0, /* not looked at yet, or could not be */
	RUNTIME_NATIVE,	     /* C, C++ and the like: a thread runs what it runs */
	RUNTIME_GO,	     /* goroutines move between threads: a thread is not a request */
	RUNTIME_NODE,
	RUNTIME_PYTHON,
	RUNTIME_JAVA,
	RUNTIME_RUBY,
	RUNTIME_PHP,
	RUNTIME_DOTNET,
	RUNTIME_RUST,
	RUNTIME_BEAM,
	RUNTIME_PERL,
};

/* Flags of struct message_process. */
enum {
	PROCESS_SDK = 1 << 0, /* a tracing SDK, agent or export library is loaded */
	PROCESS_GONE =
		1
		<< 1, /* it had ended before it could be looked at: attributes are what the kernel said */
	PROCESS_OPT_OUT = 1 << 2, /* the process asked not to be traced */
	PROCESS_PENDING =
		1 << 3, /* runtime and SDK are still being looked for: another message follows */
};

/*
 * The identity of one process: resource attributes as pairs of strings. After the struct follow
 * `attributes` times: u16 key length, u16 value length, u8 type (0 string, 1 signed integer as
 * 8 bytes), u8 pad[3], key bytes, value bytes. A later message for the same process replaces it.
 */
struct message_process {
	uint64_t tgid_start_ns;
	uint32_t tgid;	  /* initial pid namespace */
	uint32_t netns;	  /* inode number */
	uint16_t runtime; /* enum runtime */
	uint16_t flags;
	uint32_t attributes;
};

#endif
