/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SONDE_PROBE_SDK_DETECT_FILES_H
#define SONDE_PROBE_SDK_DETECT_FILES_H

#include "probe/sdk_detect.h"

/*
 * Whether an SDK's package lies where the process's interpreter looks for packages. Paths are
 * looked up as the process sees them (its mounts, its root: openat2(2) with RESOLVE_IN_ROOT), files
 * are not opened but for Gemfile.lock, in which names are searched. A bounded number of look-ups.
 */
bool sdk_detect__installed(const struct sdk_facts *facts);

/* Java's part of it. */
struct search;
bool sdk_detect__java(struct search *search);

#endif
