/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SONDE_INSPECT_ROLE_H
#define SONDE_INSPECT_ROLE_H

#include <sys/types.h>

/* The process of the inspect role: enters the sandbox as uid, runs inspect__main(). Exit status. */
int inspect__role_main(uid_t uid);

#endif
