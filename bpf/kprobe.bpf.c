/* SPDX-License-Identifier: GPL-2.0-only */
/* Tier kprobe where the kernel types no pointers: see lib/kprobe.h. */
#define SONDE_KPROBE 1

#include "lib/kprobe.h"
