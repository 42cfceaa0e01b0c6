/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal that others write to as well. */
#ifndef SONDE_BASE_TERMINAL_H
#define SONDE_BASE_TERMINAL_H

/*
 * Another way to the terminal at fd, for the caller to close: writing to it never waits (EAGAIN), while
 * those who share fd go on as they were. Somebody who stops his terminal (Ctrl-S) stops nothing else.
 * -errno: it is no terminal, or not ours to open.
 */
int terminal__own(int fd);

#endif
