/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd, loaded by the role that serves and by nobody else: Debian's brings GnuTLS with it, which
 * would otherwise be in the memory of every role.
 */
#ifndef SONDE_SERVE_MHD_H
#define SONDE_SERVE_MHD_H

#include <microhttpd.h>

#include "base/err.h"

#define MHD_CALLS(X)                                                                               \
	X(MHD_start_daemon)                                                                        \
	X(MHD_stop_daemon)                                                                         \
	X(MHD_run)                                                                                 \
	X(MHD_get_timeout)                                                                         \
	X(MHD_get_daemon_info)                                                                     \
	X(MHD_get_connection_info)                                                                 \
	X(MHD_get_connection_values)                                                               \
	X(MHD_lookup_connection_value)                                                             \
	X(MHD_create_response_from_buffer)                                                         \
	X(MHD_create_response_from_callback)                                                       \
	X(MHD_add_response_header)                                                                 \
	X(MHD_queue_response)                                                                      \
	X(MHD_destroy_response)

struct mhd {
#define MHD_MEMBER(name) __typeof__(&name) name;
	MHD_CALLS(MHD_MEMBER)
#undef MHD_MEMBER
};

/* Before the sandbox closes. 0, or -ENOENT with what to install in err. */
int mhd__load(struct mhd *ret, struct err *err);

#endif
