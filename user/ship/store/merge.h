/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postings of a group's segments become one, so that a question takes one look where it took STORE_GROUP. In
 * one transaction: whoever reads meanwhile, or finds the file after a death, has the ones or the other.
 */
#ifndef SONDE_SHIP_STORE_MERGE_H
#define SONDE_SHIP_STORE_MERGE_H

#include <sqlite3.h>
#include <stdint.h>

/* How many groups have been merged: those before. 0 of a file of version 1. A negative errno in *ret_err. */
uint64_t merge__groups(sqlite3 *db, int *ret_err);
/*
 * Merges a group, all of whose segments are complete. 0; -EPROTO: postings of it are damaged, they stay as
 * they are; another negative errno. After an error nothing has changed.
 */
int merge__group(sqlite3 *db, uint64_t group);

#endif
