/* SPDX-License-Identifier: GPL-2.0-only */
/* Tier kprobe where any address can be made a typed pointer: see lib/kprobe.h. */
#define SONDE_KPROBE 1
#define SONDE_DIRECT 1
#define SONDE_CAST 1

#include "lib/kprobe.h"
