/* SPDX-License-Identifier: Apache-2.0 */
/* See bpf_helpers.h beside it: the kernel's types are those of bpf/lib/kernel.h, as they stand. */
#ifndef SONDE_TESTS_BPF_CORE_READ_H
#define SONDE_TESTS_BPF_CORE_READ_H

#include <stddef.h>

/* Before every field that a program reads: what other processors do meanwhile. */
static void (*shim_meanwhile)(void);

#define SHIM_READ1(p, a) ((p)->a)
#define SHIM_READ2(p, a, b) ((p)->a->b)
#define SHIM_READ3(p, a, b, c) ((p)->a->b->c)
#define SHIM_PICK(p, a, b, c, name, ...) name
#define BPF_CORE_READ(...)                                                                         \
	({                                                                                         \
		if (shim_meanwhile)                                                                \
			shim_meanwhile();                                                          \
		SHIM_PICK(__VA_ARGS__, SHIM_READ3, SHIM_READ2, SHIM_READ1)(__VA_ARGS__);           \
	})

#define bpf_core_field_exists(...) 1
#define bpf_core_field_offset(type, field) offsetof(type, field)
#define bpf_core_enum_value(type, value) (value)
#define bpf_core_enum_value_exists(type, value) 1
#define bpf_core_type_size(type) sizeof(type)

#endif
