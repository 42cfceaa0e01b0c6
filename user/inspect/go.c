// SPDX-License-Identifier: Apache-2.0
#include "inspect/go.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/buildinfo.h"
#include "inspect/pclntab.h"
#include "inspect/returns.h"

/* The first Go whose compiler passes arguments in registers on a machine (its release notes). */
#define REGISTERS_AMD64 17
#define REGISTERS_ARM64 18
/* The first one with internal/poll, whose layout has not changed since. */
#define POLL_SINCE 9

/* "go1.26.8", "devel go1.27-abcdef …". */
static void read_version(const char *text, struct inspect_go *go)
{
	const char *at = strstr(text, "go");
	unsigned long major, minor;
	char *end;

	if (!at)
		return;
	major = strtoul(at + 2, &end, 10);
	if (*end != '.' || major > 9)
		return;
	minor = strtoul(end + 1, &end, 10);
	if (minor > 999)
		return;
	go->major = (uint16_t)major;
	go->minor = (uint16_t)minor;
}

/*
 * crypto/tls/conn.go: conn is the first field of Conn. net/net.go, net/tcpsock.go: a TCPConn is its *netFD;
 * net/fd_posix.go: a netFD begins with its poll.FD; internal/poll/fd_unix.go, fd_mutex.go: that begins with a
 * lock of 16 bytes, and the descriptor follows. A test compares that with what reflection says.
 */
static void set_layout(uint16_t machine, struct inspect_go *go)
{
	bool known = go->major == 1 && go->minor >= POLL_SINCE;

	go->conn_offset = go->fd_offset = known ? 0 : -1;
	go->sysfd_offset = known ? 16 : -1;
	go->registers = go->major == 1 &&
			go->minor >= (machine == EM_AARCH64 ? REGISTERS_ARM64 : REGISTERS_AMD64);
}

/* arm64: functions begin at multiples of 16, and zeros between them are no instructions. */
static uint64_t without_padding(const struct elf *elf, uint64_t address, uint64_t bytes)
{
	uint64_t at, room;
	uint32_t word;

	if (elf->machine != EM_AARCH64 || bytes > RETURNS_CODE_MAX_BYTES ||
	    !elf__offset(elf, address, &at, &room) || bytes > room)
		return bytes;
	for (int i = 0; i < 4 && bytes > 4; i++) {
		if (file__read(elf->file, at + bytes - 4, &word, 4) || word)
			break;
		bytes -= 4;
	}
	return bytes;
}

void go__read(const struct elf *elf, struct inspect_tls *ret)
{
	static struct inspect_answer program; /* for its version */
	const unsigned int n = TLS_FN_GO_CONN_HANDSHAKE - TLS_FN_GO_CONN_READ + 1;
	struct pclntab_function functions[TLS_FN_GO_CONN_HANDSHAKE - TLS_FN_GO_CONN_READ + 3];
	static struct pclntab table;
	struct cheap_go calls;

	memset(&program, 0, sizeof(program));
	if (!buildinfo__read(elf, &program))
		return;
	if (pclntab__open(&table, elf)) {
		ret->hidden |= 1u << TLS_GO;
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		functions[i].name = functions__name(TLS_FN_GO_CONN_READ + i);
	functions[n].name = "runtime.memmove";
	functions[n + 1].name = "crypto/tls.(*Conn).writeRecordLocked";
	if (pclntab__find(&table, functions, n + 2))
		elf->file->cut = true;
	calls = (struct cheap_go){ .move = functions[n].address,
				   .record = functions[n + 1].address };
	for (unsigned int i = 0; i < n; i++) {
		if (!functions[i].address)
			continue;
		returns__add(elf, TLS_FN_GO_CONN_READ + i, functions[i].address,
			     without_padding(elf, functions[i].address, functions[i].bytes), &calls,
			     ret);
	}
	read_version(program.runtime_version, &ret->go);
	set_layout(elf->machine, &ret->go);
	ret->go.tcp_itab = pclntab__itab(&table, ret->go.minor, "net.Conn", "*net.TCPConn");
}
