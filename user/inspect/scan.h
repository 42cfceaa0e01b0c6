/* SPDX-License-Identifier: Apache-2.0 */
/* Runtimes and SDKs that leave no record of their own in a program: known by the strings in it. */
#ifndef SONDE_INSPECT_SCAN_H
#define SONDE_INSPECT_SCAN_H

#include "inspect/elf.h"
#include "inspect/inspect.h"

/* Of one file; beyond it INSPECT_CUT. */
#define SCAN_MAX_BYTES (48u << 20)

/* Fills runtime (RUNTIME_NATIVE where nothing is known), runtime_version, flags, sdk. */
void scan__program(const struct elf *elf, struct inspect_answer *ret);

/*
 * The TLS libraries that were built into a program, by names of their source files, which stay in it when
 * its symbols have gone: bits 1 << enum tls_library.
 */
uint32_t scan__tls(const struct elf *elf);

/*
 * A Java archive (its executable is the virtual machine): RUNTIME_JAVA, and INSPECT_SDK where the
 * names in its directory say that it brings a tracing SDK. -ENOEXEC: no such archive.
 */
int scan__archive(struct file *file, struct inspect_answer *ret);

#endif
