// SPDX-License-Identifier: Apache-2.0
/*
 * inspect_tls FILE...: what the inspect role finds of TLS libraries in files, as JSON, one line each. With
 * times and memory, so that it is a measurement, too.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "inspect/disasm.h"
#include "inspect/inspect.h"

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void print(const char *path, const struct inspect_tls *a, uint64_t us)
{
	printf("{\"file\": \"%s\", \"us\": %" PRIu64 ", \"status\": %d, \"flags\": %u, "
	       "\"library\": %u, \"libraries\": %u, \"hidden\": %u, ",
	       path, us, a->status, a->flags, a->library, a->libraries, a->hidden);
	printf("\"go\": {\"major\": %u, \"minor\": %u, \"registers\": %u, \"conn\": %d, \"fd\": "
	       "%d, "
	       "\"sysfd\": %d, \"tcp_itab\": %" PRIu64 "}, \"functions\": [",
	       a->go.major, a->go.minor, a->go.registers, a->go.conn_offset, a->go.fd_offset,
	       a->go.sysfd_offset, a->go.tcp_itab);
	for (uint32_t i = 0; i < a->n_functions; i++) {
		const struct inspect_function *f = &a->functions[i];

		printf("%s{\"name\": \"%s\", \"offset\": %" PRIu64
		       ", \"bytes\": %u, \"flags\": %u, "
		       "\"points\": [",
		       i ? ", " : "", functions__name(f->function), f->offset, f->bytes, f->flags);
		for (uint32_t k = 0, n = 0; k < a->n_points; k++)
			if (a->points[k].of == i && a->points[k].sets & INSPECT_PLAIN)
				printf("%s[%" PRIu64 ", %u]", n++ ? ", " : "", a->points[k].offset,
				       a->points[k].is_return);
		printf("], \"cheap\": [");
		for (uint32_t k = 0, n = 0; k < a->n_points; k++)
			if (a->points[k].of == i && a->points[k].sets & INSPECT_CHEAP)
				printf("%s[%" PRIu64 ", %u, %u, %u, %u]", n++ ? ", " : "",
				       a->points[k].offset, a->points[k].is_return,
				       a->points[k].below, a->points[k].result,
				       a->points[k].condition);
		printf("]}");
	}
	printf("]}\n");
}

int main(int argc, char **argv)
{
	static struct inspect_tls answer;
	struct err err = { "" };

	if (disasm__load(&err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		uint64_t start = now_us();

		inspect__parse_tls(fd, &answer);
		print(argv[i], &answer, now_us() - start);
		if (fd >= 0)
			close(fd);
	}
	return 0;
}
