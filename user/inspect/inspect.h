/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inspect role: reads one executable at a time, which may be made to break its reader, in a
 * process that holds nothing but that file and its control socket. It answers with one struct of
 * fixed layout; whoever reads the answer checks lengths and enumerations and believes the rest.
 */
#ifndef SONDE_INSPECT_INSPECT_H
#define SONDE_INSPECT_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#define INSPECT_ABI 1
/* Processor and wall time that one file may take; the role ends by SIGALRM when it is over. */
#define INSPECT_DEADLINE_MS 2000

/* Flags of struct inspect_answer. */
enum {
	INSPECT_DYNAMIC = 1 << 0,  /* has a program interpreter or needs shared libraries */
	INSPECT_STRIPPED = 1 << 1, /* has no symbol table (.symtab) */
	INSPECT_SDK = 1 << 2, /* a tracing SDK, agent or export library is built in or linked */
	INSPECT_CXX = 1 << 3, /* linked with a C++ standard library */
	INSPECT_CUT =
		1 << 4, /* a bound of the reader was reached: what is said may be incomplete */
	INSPECT_GRAALVM = 1 << 5, /* native image of a Java program */
};

/* NUL-terminated strings of printable ASCII; unused bytes are 0. */
struct inspect_answer {
	uint32_t abi;	  /* INSPECT_ABI */
	uint32_t request; /* as in the request */
	int32_t status;	  /* 0; -ENOEXEC: no ELF file; -EPROTO: broken; -EIO: could not be read */
	uint32_t flags;	  /* INSPECT_* */
	uint16_t runtime; /* enum runtime; RUNTIME_NATIVE: machine code of no known runtime */
	uint16_t machine; /* ELF e_machine */
	uint32_t build_id_bytes;
	uint8_t build_id[32];
	char runtime_version[64]; /* "go1.26.8", "rustc 1.85.0 (…)" */
	char module[256];	  /* Go: path of the main package; else "" */
	char module_version[64];  /* Go: version of the main module; "" where it has none */
	char sdk[64];		  /* with INSPECT_SDK: which */
};

struct inspect_request {
	uint32_t abi;	  /* INSPECT_ABI */
	uint32_t request; /* any number, comes back in the answer */
};

/*
 * Reads an executable through fd by pread(2) alone; memory and steps are bounded, whatever the file
 * says of itself. Always fills *ret but for `abi` and `request`, which are the caller's; returns
 * ret->status. A file that is no program of a known kind is no error: RUNTIME_NATIVE.
 */
int inspect__parse(int fd, struct inspect_answer *ret);

/*
 * The role: on a SOCK_SEQPACKET socket it receives struct inspect_request with one descriptor
 * (SCM_RIGHTS), answers with struct inspect_answer, until the other end closes. Needs recvmsg,
 * pread64, fstat, send, close, setitimer, exit and the memory calls; all that it allocates, it
 * allocates before the first request. Returns 0 when the socket was closed, else a negative errno.
 */
int inspect__main(int control_fd);

/*
 * The other end. Sends one executable to the role; fd stays the caller's. -EAGAIN: the role is
 * busy and its socket full.
 */
int inspect__ask(int control_fd, uint32_t request, int fd);
/*
 * Takes one answer and checks it (whole, known, strings ended). -EAGAIN: none is there yet;
 * -ECONNRESET: the role is gone; -EPROTO: this is no answer.
 */
int inspect__answer(int control_fd, struct inspect_answer *ret);

#endif
