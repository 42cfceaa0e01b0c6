/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading under lockdown "confidentiality", which forbids bpf_probe_read_kernel() and allows
 * bpf_probe_read_user().
 */
#ifndef SONDE_PROBE_LOCKDOWN_H
#define SONDE_PROBE_LOCKDOWN_H

#include <bpf/libbpf.h>

/*
 * libbpf takes a kernel that refuses the first for one that is older than both, and puts the old
 * bpf_probe_read() in place of either, which is refused, too. This makes it leave the second: once
 * before an object is opened (lockdown__prepare), then for the open object. Both 0 or -errno.
 */
int lockdown__prepare(void);
int lockdown__set_targets(struct bpf_object *object);

#endif
