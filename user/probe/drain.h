/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the kernel's ring must not be handed out (kernels without the fix of CVE-2024-41009, whose
 * consumer page lets its writer overlap records), probe takes the records itself and passes them
 * on in a shared buffer of the same layout. It copies; of a record that finds no room it looks at the kernel's own flags, for the account.
 */
#ifndef SONDE_PROBE_DRAIN_H
#define SONDE_PROBE_DRAIN_H

#include <stdint.h>

#include "base/err.h"

struct drain;

/*
 * ring_fd, switches_fd: of the capture. bytes: of its ring; the shared one has the same size.
 */
int drain__new(int ring_fd, int switches_fd, uint64_t bytes, struct drain **ret, struct err *err);
void drain__free(struct drain *drain);

/* What the trace role gets in place of the capture's own descriptors (FD_DRAIN, FD_RING, FD_SWITCHES). */
int drain__buffer_fd(const struct drain *drain);
int drain__wake_fd(const struct drain *drain);
int drain__switches_fd(const struct drain *drain);

/* Copies what waits, wakes the reader if it sleeps. To be called when ring_fd is readable, and often while there is traffic. */
void drain__run(struct drain *drain);
/* ms until drain__run() should be called again, -1: when ring_fd becomes readable. */
int drain__wait_ms(const struct drain *drain);
/* Records that found no room since the start; and how many of them began an exchange. */
uint64_t drain__lost(const struct drain *drain);
uint64_t drain__begun_lost(const struct drain *drain);

#endif
