/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Go linker writes of a program into itself (Go's debug/buildinfo): the version of Go, the
 * path of the main package, the modules that it was built from. Stripping leaves it there.
 */
#ifndef SONDE_INSPECT_BUILDINFO_H
#define SONDE_INSPECT_BUILDINFO_H

#include <stddef.h>

#include "inspect/elf.h"
#include "inspect/inspect.h"

#define BUILDINFO_TEXT_MAX_BYTES (512u << 10)

/*
 * Looks for it and fills runtime, runtime_version, module, module_version, sdk and INSPECT_SDK.
 * true: this is a Go program.
 */
bool buildinfo__read(const struct elf *elf, struct inspect_answer *ret);

/*
 * The text: lines "path\t…", "mod\tPATH\tVERSION\tSUM", "dep\tPATH\tVERSION\tSUM",
 * "=>\tPATH\tVERSION\tSUM", "build\tKEY=VALUE".
 */
void buildinfo__parse(const char *text, size_t len, struct inspect_answer *ret);

#endif
