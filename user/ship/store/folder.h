/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of a store, before the role that writes it has given its privileges up. */
#ifndef SONDE_SHIP_STORE_FOLDER_H
#define SONDE_SHIP_STORE_FOLDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define STORE_FOLDER_DEFAULT "/var/lib/sonde"

/*
 * Makes the folder where there is none (not those above it), refuses one that holds anything but a store, as
 * it will belong to the role. *ret_path is absolute, the caller's to free(). 0 or a negative errno.
 */
int store_folder__make(const char *path, char **ret_path, struct err *err);
/*
 * Gives the folder and its store to uid, and lets the group of the same number read it where `shared`. Refuses one that another sonde writes, -EBUSY. Where it cannot be
 * given (a read-only file system) capture goes on all the same: 0, and err says why.
 */
int store_folder__give(const char *path, uid_t uid, bool shared, struct err *err);
/* Takes the store and its folder away again, as the owner. */
void store_folder__remove(const char *path, uid_t owner);

#endif
