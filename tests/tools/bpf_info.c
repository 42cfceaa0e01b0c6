/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf_info: what the BPF programs and maps of a process are, in numbers that do not depend on load.
 *
 *   bpf_info PID
 *
 * One line each:
 *   PROG name verified xlated jited hits ns
 *                                       instructions that the verifier went through (0: the kernel,
 *                                       before 5.16, does not say), instructions, bytes of machine code;
 *                                       what the kernel's statistics, where they were on, have counted
 *   MAPS count bytes                    of kernel memory charged to its maps
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEN_MAX 4096

static uint32_t seen[SEEN_MAX];
static unsigned int n_seen;

/* A program or map may be held by several descriptors. */
static bool first_time(uint32_t id)
{
	for (unsigned int i = 0; i < n_seen; i++)
		if (seen[i] == id)
			return false;
	if (n_seen == SEEN_MAX)
		return false;
	seen[n_seen++] = id;
	return true;
}

static void print_program(uint32_t id)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len)) {
		fprintf(stderr, "bpf_info: program %u: %s\n", id, strerror(errno));
		exit(1);
	}
	close(fd);
	printf("PROG %s %u %zu %u %" PRIu64 " %" PRIu64 "\n", info.name, info.verified_insns,
	       info.xlated_prog_len / sizeof(struct bpf_insn), info.jited_prog_len,
	       (uint64_t)info.run_cnt, (uint64_t)info.run_time_ns);
}

int main(int argc, char **argv)
{
	uint64_t map_bytes = 0, n_maps = 0;
	char path[64], line[256];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo", argc == 2 ? argv[1] : "");
	dir = opendir(path);
	if (argc != 2 || !dir) {
		fprintf(stderr, "usage: bpf_info PID\n");
		return 2;
	}
	while ((entry = readdir(dir))) {
		uint32_t program = 0, map = 0;
		uint64_t bytes = 0;
		char file[512];
		FILE *f;

		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		f = *entry->d_name == '.' ? NULL : fopen(file, "re");
		while (f && fgets(line, sizeof(line), f)) {
			sscanf(line, "prog_id: %" SCNu32, &program);
			sscanf(line, "map_id: %" SCNu32, &map);
			sscanf(line, "memlock: %" SCNu64, &bytes);
		}
		if (f)
			fclose(f);
		if (program && first_time(program))
			print_program(program);
		/* Ids of programs and of maps are counted apart; ours are far below 2^31. */
		if (map && first_time(map | 1u << 31)) {
			map_bytes += bytes;
			n_maps++;
		}
	}
	closedir(dir);
	printf("MAPS %" PRIu64 " %" PRIu64 "\n", n_maps, map_bytes);
	return 0;
}
