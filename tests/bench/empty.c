// SPDX-License-Identifier: Apache-2.0
/* empty TIER: attaches the empty programs of that tier, says "attached", stays until standard input ends. */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "empty.skel.h"

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

int main(int argc, char **argv)
{
	struct empty_bpf *skel = empty_bpf__open();
	struct bpf_program *prog;
	char prefix[64], byte;

	libbpf_set_print(quiet);
	if (argc != 2 || !skel) {
		fprintf(stderr, "usage: empty socktp|kprobe|fentry\n");
		return 2;
	}
	snprintf(prefix, sizeof(prefix), "empty_%s_", argv[1]);
	bpf_object__for_each_program (prog, skel->obj)
		bpf_program__set_autoload(prog, !strncmp(bpf_program__name(prog), prefix,
							 strlen(prefix)));
	if (empty_bpf__load(skel) || empty_bpf__attach(skel)) {
		fprintf(stderr, "empty: cannot attach the programs of %s\n", argv[1]);
		return 1;
	}
	puts("attached");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	empty_bpf__destroy(skel);
	return 0;
}
