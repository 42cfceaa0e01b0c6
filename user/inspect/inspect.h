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

#include "inspect/functions.h"

#define INSPECT_ABI 2
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

/* What a request wants to know of the file. */
enum inspect_want {
	INSPECT_WANT_RUNTIME, /* struct inspect_answer: which program it is */
	INSPECT_WANT_TLS, /* struct inspect_tls: where the functions of TLS libraries are in it */
};

struct inspect_request {
	uint32_t abi;	  /* INSPECT_ABI */
	uint32_t request; /* any number, comes back in the answer */
	uint32_t want;	  /* enum inspect_want */
};

#define INSPECT_POINTS_MAX 512
#define INSPECT_FUNCTIONS_MAX 48

/* Flags of struct inspect_function. */
enum {
	/*
	 * It may be left by a jump to another function, which then returns to its caller. Where the jump
	 * says where to, that one's returns are among the points (INSPECT_RETURN_SHARED).
	 */
	INSPECT_FN_JUMPS_OUT = 1 << 0,
	/* A jump through a register or memory leaves it: some of its returns are not known. */
	INSPECT_FN_RETURNS_UNKNOWN = 1 << 1,
	/* Too large, or too many returns, or code that could not be read: as RETURNS_UNKNOWN. */
	INSPECT_FN_CUT = 1 << 2,
};

/* One copy of a function. */
struct inspect_function {
	uint64_t offset;   /* in the file, of its first instruction */
	uint32_t bytes;	   /* of its code; 0: unknown */
	uint16_t function; /* enum tls_function */
	uint16_t flags;	   /* INSPECT_FN_* */
};

/* What a point is. */
enum {
	INSPECT_ENTRY,	/* the function's first instruction */
	INSPECT_RETURN, /* a return instruction of it */
	/*
	 * A return instruction of a function that it ends in by a jump. Others call that one, too: like
	 * at every return, it is the end of the call that began with the same stack pointer.
	 */
	INSPECT_RETURN_SHARED,
	/*
	 * Go, in the cheap set: a call in the function at which all is known that its entry and its returns would
	 * tell, and stands for them (cheap_go.h).
	 */
	INSPECT_INSIDE,
};

/*
 * Points come in two sets, of which one is to be used, as a whole for each function: the plain one of first
 * instructions and returns, and one of instructions near these that the kernel executes by itself, so that
 * a hit is one trap instead of two (cheap.h). Where there is no such instruction, a point is in both.
 */
enum { INSPECT_PLAIN = 1, INSPECT_CHEAP = 2 };

/*
 * A place for a uprobe. At a return instruction of machine code of C and Rust the stack pointer is
 * what it was at the entry (the psABIs of x86-64 and arm64: it has been restored, the return address
 * is on top or in x30). Not in Go, whose stacks move: there it is the goroutine that stays the same.
 */
struct inspect_point {
	uint64_t offset;   /* in the file, of an instruction */
	uint16_t function; /* enum tls_function */
	uint8_t is_return; /* INSPECT_ENTRY, INSPECT_RETURN … */
	uint8_t sets;	   /* INSPECT_PLAIN, INSPECT_CHEAP */
	uint16_t of;	   /* which of functions[] */
	/*
	 * In the cheap set: how many bytes the stack pointer is below what it was at the function's entry
	 * (C and Rust on x86-64). A hit where it is not is of another call, and means nothing. INSPECT_INSIDE of
	 * Go's Read: the same, and at sp + below + 8 is the connection.
	 */
	uint16_t below;
	/* Of what stands for a return in the cheap set, else 0: cheap_exit.h. */
	uint8_t result;	   /* enum sonde_tls_result */
	uint8_t condition; /* SONDE_TLS_ALWAYS …: only where that holds it is a return */
	uint8_t zero[6];
};

/*
 * With TLS_GO. Arguments of machine code of Go: since 1.17 (amd64) and 1.18 (arm64) in registers
 * (src/cmd/compile/abi-internal.md): rax, rbx, rcx, rdi … and x0, x1, x2 …, receiver first, results
 * in the same ones, and the running g in r14 and x28; before that all on the stack, after the return
 * address, 8 bytes each, results after the arguments.
 * A function's entry is passed twice where its stack has to grow first.
 */
struct inspect_go {
	uint16_t major, minor; /* version of Go; 0, 0: unknown */
	uint16_t registers;    /* 1: arguments are in registers */
	/*
	 * From a *crypto/tls.Conn: at conn is its net.Conn {itab, data}; where that is a *net.TCPConn,
	 * data points to it, at fd is its *netFD, at sysfd there is the file descriptor, an int. -1: unknown.
	 */
	int16_t conn_offset, fd_offset, sysfd_offset;
	uint16_t zero[2];
	/*
	 * Address of the itab of *net.TCPConn as net.Conn, as the file is linked (the process adds its load
	 * bias): another itab is of another type. 0: not found.
	 */
	uint64_t tcp_itab;
};

/*
 * Functions and points are in the order of enum tls_function, those of a function together: its entry,
 * then its returns. flags: INSPECT_STRIPPED, INSPECT_DYNAMIC, INSPECT_CUT.
 */
struct inspect_tls {
	uint32_t abi;	  /* INSPECT_ABI */
	uint32_t request; /* as in the request */
	int32_t status; /* 0; -ENOEXEC: no ELF file of this machine; -EPROTO: broken; -EIO, -E2BIG */
	uint32_t flags;	    /* INSPECT_* */
	uint16_t machine;   /* ELF e_machine */
	uint16_t library;   /* enum tls_library of the first function; TLS_NONE: there is none */
	uint32_t libraries; /* bits 1 << enum tls_library: all of which it has functions */
	/*
	 * Bits of libraries that are in it all the same: built in and stripped, or of a kind that is not known
	 * (Go before 1.16). Looked for where it has no functions. What goes through them is not seen.
	 */
	uint32_t hidden;
	uint32_t n_functions, n_points;
	struct inspect_go go;
	struct inspect_function functions[INSPECT_FUNCTIONS_MAX];
	struct inspect_point points[INSPECT_POINTS_MAX];
};

/*
 * Reads an executable through fd by pread(2) alone; memory and steps are bounded, whatever the file
 * says of itself. Always fills *ret but for `abi` and `request`, which are the caller's; returns
 * ret->status. A file that is no program of a known kind is no error: RUNTIME_NATIVE.
 */
int inspect__parse(int fd, struct inspect_answer *ret);

/*
 * The same for INSPECT_WANT_TLS. A file without such functions is no error: TLS_NONE. What could not be
 * read of one library does not keep the others from being found.
 */
int inspect__parse_tls(int fd, struct inspect_tls *ret);

/*
 * The role: on a SOCK_SEQPACKET socket it receives struct inspect_request with one descriptor
 * (SCM_RIGHTS), answers with what is wanted, until the other end closes. Needs recvmsg,
 * pread64, fstat, send, close, setitimer, exit and the memory calls; all that it allocates, it
 * allocates before the first request. Returns 0 when the socket was closed, else a negative errno.
 */
int inspect__main(int control_fd);

/*
 * The other end. Sends one executable to the role; fd stays the caller's. -EAGAIN: the role is
 * busy and its socket full.
 */
int inspect__ask(int control_fd, uint32_t request, int fd);
int inspect__ask_tls(int control_fd, uint32_t request, int fd);
/*
 * Takes one answer and checks it (whole, known, strings ended). -EAGAIN: none is there yet;
 * -ECONNRESET: the role is gone; -EPROTO: this is no answer.
 */
int inspect__answer(int control_fd, struct inspect_answer *ret);
/* As that, where the first unanswered question is one of inspect__ask_tls(); else -EPROTO. */
int inspect__answer_tls(int control_fd, struct inspect_tls *ret);

#endif
