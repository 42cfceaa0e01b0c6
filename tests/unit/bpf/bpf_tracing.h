/* SPDX-License-Identifier: Apache-2.0 */
/* See bpf_helpers.h beside it: programs are plain functions here. */
#ifndef SONDE_TESTS_BPF_TRACING_H
#define SONDE_TESTS_BPF_TRACING_H

/* the C library has an on_exit(), too */
#define BPF_PROG(name, ...)                                                                        \
	prog_##name(__VA_ARGS__);                                                                  \
	int prog_##name(__VA_ARGS__)

#endif
