/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SONDE_SERVE_RECEIVE_ROLE_H
#define SONDE_SERVE_RECEIVE_ROLE_H

#include <sys/types.h>

/*
 * The process of the role that receives: reads its configuration (serve/config.h) from FD_CONFIG, enters the sandbox as
 * uid, takes OTLP from who connects to FD_LISTEN_HTTP and FD_LISTEN_GRPC, and hands it to ship by
 * FD_FRAMES_MEMORY. It can open no file, not even the store. Exit status.
 */
int receive__main(uid_t uid);

#endif
