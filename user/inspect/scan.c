// SPDX-License-Identifier: Apache-2.0
#include "inspect/scan.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "core/message.h"
#include "inspect/text.h"

#define CHUNK_BYTES (1u << 20)
#define PATTERN_MAX_BYTES 64

/* A string that stands for something; the first of a runtime that is found decides. */
struct pattern {
	const char *bytes;
	uint8_t len;
	uint8_t runtime; /* 0: says nothing of it */
	uint32_t flags;
	const char *sdk;
	const char *before; /* must stand in the same string, 64 bytes before it at most */
};
#define PATTERN(text, runtime, flags, sdk)                                                         \
	{                                                                                          \
		text, sizeof(text) - 1, runtime, flags, sdk, NULL                                  \
	}

/* In read-only and initialised data. */
static const struct pattern data_patterns[] = {
	/* The standard library's own source paths, in every message of a panic: /rustc/<commit>/… */
	{ "/library/core/src/", 18, RUNTIME_RUST, 0, NULL, "rustc" },
	{ "/library/std/src/", 17, RUNTIME_RUST, 0, NULL, "rustc" },
	PATTERN("opentelemetry_sdk", 0, INSPECT_SDK, "opentelemetry_sdk"),
	PATTERN("opentelemetry-otlp-", 0, INSPECT_SDK, "opentelemetry-otlp"),
	/* Type names of opentelemetry-cpp, linked statically. */
	PATTERN("13opentelemetry2v", 0, INSPECT_SDK, "opentelemetry-cpp"),
	PATTERN("7datadog7tracing", 0, INSPECT_SDK, "dd-trace-cpp"),
	/* SHA-256 of ".net core bundle": marks every .NET host (runtime: Bundle/bundle_marker). */
	PATTERN("\x8b\x12\x02\xb9\x6a\x61\x20\x38\x72\x7b\x93\x02\x14\xd7\xa0\x32"
		"\x13\xf5\xb9\xe6\xef\xae\x33\x18\xee\x3b\x2d\xce\x24\xb3\x6a\xae",
		RUNTIME_DOTNET, 0, NULL),
};

/* In the names of dynamic symbols: interpreters under another name, or built into a program. */
static const struct pattern symbol_patterns[] = {
	PATTERN("napi_module_register", RUNTIME_NODE, 0, NULL),
	PATTERN("Py_BytesMain", RUNTIME_PYTHON, 0, NULL),
	PATTERN("Py_InitializeEx", RUNTIME_PYTHON, 0, NULL),
	PATTERN("ruby_run_node", RUNTIME_RUBY, 0, NULL),
	PATTERN("zend_execute_scripts", RUNTIME_PHP, 0, NULL),
	PATTERN("graal_create_isolate", RUNTIME_JAVA, INSPECT_GRAALVM, NULL),
	PATTERN("DotNetRuntimeInfo", RUNTIME_DOTNET, 0, NULL),
	PATTERN("erl_drv_output", RUNTIME_BEAM, 0, NULL),
};

struct scan {
	struct file *file;
	const struct pattern *patterns;
	size_t n_patterns;
	uint64_t bytes_left;
	struct inspect_answer *ret;
};

static void found(struct scan *scan, const struct pattern *pattern)
{
	struct inspect_answer *ret = scan->ret;

	if (pattern->runtime && (ret->runtime == RUNTIME_NATIVE || ret->runtime == RUNTIME_UNKNOWN))
		ret->runtime = pattern->runtime;
	ret->flags |= pattern->flags;
	if (pattern->sdk)
		text__copy(ret->sdk, sizeof(ret->sdk), pattern->sdk, strlen(pattern->sdk));
}

static bool contains(const char *chunk, size_t n, const struct pattern *pattern)
{
	const char *at = memmem(chunk, n, pattern->bytes, pattern->len), *end = chunk + n;

	while (at && pattern->before) {
		size_t room = 0;

		while (room < PATTERN_MAX_BYTES && at - room > chunk && at[-(long)room - 1])
			room++;
		if (memmem(at - room, room, pattern->before, strlen(pattern->before)))
			return true;
		at += pattern->len;
		at = memmem(at, (size_t)(end - at), pattern->bytes, pattern->len);
	}
	return at != NULL;
}

/* Piece by piece; pieces overlap by what a pattern may be cut at. */
static void scan_range(struct scan *scan, uint64_t offset, uint64_t bytes)
{
	static char chunk[CHUNK_BYTES];

	if (offset > scan->file->size)
		return;
	if (bytes > scan->file->size - offset)
		bytes = scan->file->size - offset;
	while (bytes) {
		size_t n = bytes < sizeof(chunk) ? (size_t)bytes : sizeof(chunk), step;

		if (n > scan->bytes_left || file__read(scan->file, offset, chunk, n)) {
			scan->file->cut = true;
			return;
		}
		for (size_t i = 0; i < scan->n_patterns; i++)
			if (contains(chunk, n, &scan->patterns[i]))
				found(scan, &scan->patterns[i]);
		step = n == bytes ? n : n - 2 * PATTERN_MAX_BYTES;
		scan->bytes_left -= step;
		offset += step;
		bytes -= step;
	}
}

static void scan_section(struct scan *scan, const struct elf *elf, const char *name)
{
	const struct elf_section *section = elf__section(elf, name);

	if (section && section->type != SHT_NOBITS)
		scan_range(scan, section->offset, section->bytes);
}

static void needed(void *arg, const char *name)
{
	struct inspect_answer *ret = arg;

	ret->flags |= INSPECT_DYNAMIC;
	if (!strncmp(name, "libstdc++.so", 12) || !strncmp(name, "libc++.so", 9))
		ret->flags |= INSPECT_CXX;
	if (!strncmp(name, "libopentelemetry", 16) || !strncmp(name, "libdd_trace", 11) ||
	    !strncmp(name, "libzipkin", 9) || !strncmp(name, "libjaegertracing", 16)) {
		ret->flags |= INSPECT_SDK;
		text__copy(ret->sdk, sizeof(ret->sdk), name, strlen(name));
	}
}

/* "rustc version 1.85.0 (…)" among the compilers' names (since Rust 1.74). */
static void read_comment(const struct elf *elf, struct inspect_answer *ret)
{
	const struct elf_section *section = elf__section(elf, ".comment");
	char text[2048];
	const char *at;
	long n;

	if (!section)
		return;
	n = file__read_some(elf->file, section->offset, text,
			    section->bytes < sizeof(text) ? section->bytes : sizeof(text));
	at = n > 0 ? memmem(text, (size_t)n, "rustc version ", 14) : NULL;
	if (!at)
		return;
	ret->runtime = RUNTIME_RUST;
	text__copy(ret->runtime_version, sizeof(ret->runtime_version), at,
		   strnlen(at, (size_t)(text + n - at)));
}

static void scan_data(struct scan *scan, const struct elf *elf)
{
	if (elf__section(elf, ".rodata")) {
		scan_section(scan, elf, ".rodata");
		scan_section(scan, elf, ".data");
		scan_section(scan, elf, ".data.rel.ro");
		return;
	}
	for (unsigned int i = 0; i < elf->n_segments; i++)
		if (elf->segments[i].type == PT_LOAD)
			scan_range(scan, elf->segments[i].offset, elf->segments[i].file_bytes);
}

void scan__program(const struct elf *elf, struct inspect_answer *ret)
{
	struct scan scan = { .file = elf->file, .bytes_left = SCAN_MAX_BYTES, .ret = ret };

	ret->runtime = RUNTIME_NATIVE;
	elf__needed(elf, needed, ret);
	read_comment(elf, ret);
	scan.patterns = symbol_patterns;
	scan.n_patterns = sizeof(symbol_patterns) / sizeof(symbol_patterns[0]);
	scan_section(&scan, elf, ".dynstr");
	if (elf__section(elf, ".svm_heap")) {
		ret->runtime = RUNTIME_JAVA;
		ret->flags |= INSPECT_GRAALVM;
	}
	scan.patterns = data_patterns;
	scan.n_patterns = sizeof(data_patterns) / sizeof(data_patterns[0]);
	scan_data(&scan, elf);
}

/* In messages of errors; flags are what scan__tls() returns. */
static const struct pattern tls_patterns[] = {
	PATTERN("ssl/ssl_lib.c", 0, 1u << TLS_OPENSSL, NULL), /* BoringSSL: ssl_lib.cc */
	{ "/src/", 5, 0, 1u << TLS_RUSTLS, NULL, "/rustls-0." },
};

uint32_t scan__tls(const struct elf *elf)
{
	static struct inspect_answer found_flags;
	struct scan scan = { .file = elf->file,
			     .bytes_left = SCAN_MAX_BYTES,
			     .ret = &found_flags,
			     .patterns = tls_patterns,
			     .n_patterns = sizeof(tls_patterns) / sizeof(tls_patterns[0]) };

	found_flags.flags = 0;
	scan_data(&scan, elf);
	return found_flags.flags;
}

/* Names in a Java archive, of the files or archives that it holds. */
static const struct pattern archive_patterns[] = {
	PATTERN("opentelemetry-sdk", 0, INSPECT_SDK, "opentelemetry-java"),
	PATTERN("io/opentelemetry/sdk/", 0, INSPECT_SDK, "opentelemetry-java"),
	PATTERN("opentelemetry-javaagent", 0, INSPECT_SDK, "opentelemetry-javaagent"),
	PATTERN("dd-java-agent", 0, INSPECT_SDK, "dd-java-agent"),
	PATTERN("zipkin-reporter", 0, INSPECT_SDK, "zipkin-reporter"),
	PATTERN("zipkin2/reporter", 0, INSPECT_SDK, "zipkin-reporter"),
	PATTERN("jaeger-client", 0, INSPECT_SDK, "jaeger-client"),
	PATTERN("opencensus-exporter", 0, INSPECT_SDK, "opencensus"),
};

#define ZIP_END_BYTES 22
#define ZIP_COMMENT_MAX_BYTES 65535
#define ZIP_END_MAGIC "PK\5\6"

/*
 * The central directory of a ZIP file (APPNOTE.TXT 4.3.16): its end is said by a record at the end
 * of the file. An archive that needs ZIP64 (4.4.1.4) has offsets of all ones: scanned from its end
 * backwards as far as the budget goes.
 */
int scan__archive(struct file *file, struct inspect_answer *ret)
{
	static unsigned char tail[ZIP_END_BYTES + ZIP_COMMENT_MAX_BYTES];
	struct scan scan = { .file = file,
			     .bytes_left = SCAN_MAX_BYTES,
			     .ret = ret,
			     .patterns = archive_patterns,
			     .n_patterns = sizeof(archive_patterns) / sizeof(archive_patterns[0]) };
	size_t n = file->size < sizeof(tail) ? (size_t)file->size : sizeof(tail);
	uint32_t bytes, offset;
	char magic[4];

	if (file__read(file, 0, magic, sizeof(magic)) || memcmp(magic, "PK\3\4", 4))
		return -ENOEXEC;
	ret->runtime = RUNTIME_JAVA;
	if (n < ZIP_END_BYTES || file__read(file, file->size - n, tail, n))
		return -EPROTO;
	for (size_t i = n - ZIP_END_BYTES + 1; i-- > 0;) {
		if (memcmp(tail + i, ZIP_END_MAGIC, 4))
			continue;
		memcpy(&bytes, tail + i + 12, 4);
		memcpy(&offset, tail + i + 16, 4);
		if (offset != UINT32_MAX && bytes != UINT32_MAX) {
			scan_range(&scan, offset, bytes);
		} else {
			uint64_t from =
				file->size > SCAN_MAX_BYTES ? file->size - SCAN_MAX_BYTES : 0;

			scan_range(&scan, from, file->size - from);
		}
		return 0;
	}
	return -EPROTO;
}
