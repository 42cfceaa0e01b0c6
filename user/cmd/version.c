// SPDX-License-Identifier: Apache-2.0
#include <bpf/libbpf.h>
#include <curl/curl.h>
#include <jansson.h>
#include <seccomp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <zlib.h>
#include <zstd.h>

#include "cmd/command.h"
#include "registry.h"

int cmd_version(int argc, char **argv)
{
	const struct scmp_version *seccomp = seccomp_version();
	struct utsname uts = { 0 };
	bool json = argc > 1 && !strcmp(argv[1], "--json");

	if (argc > 1 && !strcmp(argv[1], "--help")) {
		puts("usage: sonde version [--json]\n\nVersion, semantic conventions, tiers "
		     "compiled in, libraries, kernel.");
		return EXIT_DONE;
	}
	if (argc > 1 && !json) {
		fprintf(stderr,
			"sonde version: unknown argument '%s'; usage: sonde version [--json]\n",
			argv[1]);
		return EXIT_USAGE;
	}
	uname(&uts);
	printf(json ? "{\"version\":\"%s\",\"semconv\":\"%s\",\"tiers\":[\"fentry\",\"kprobe\","
		      "\"socktp\"],"
		      "\"libraries\":{\"libbpf\":\"%s\",\"libcurl\":\"%s\",\"jansson\":\"%s\","
		      "\"libseccomp\":\"%u.%u.%u\",\"zlib\":\"%s\",\"zstd\":\"%s\",\"sqlite\":\"%"
		      "s\"},"
		      "\"kernel\":\"%s\",\"machine\":\"%s\"}\n" :
		      "sonde %s\nsemantic conventions %s\ntiers fentry, kprobe, socktp\n"
		      "libbpf %s, libcurl %s, jansson %s, libseccomp %u.%u.%u, zlib %s, zstd %s, "
		      "sqlite %s\n"
		      "kernel %s %s\n",
	       SONDE_VERSION, SEMCONV_VERSION, libbpf_version_string(),
	       curl_version_info(CURLVERSION_NOW)->version, jansson_version_str(), seccomp->major,
	       seccomp->minor, seccomp->micro, zlibVersion(), ZSTD_versionString(),
	       sqlite3_libversion(), uts.release, uts.machine);
	return EXIT_DONE;
}
