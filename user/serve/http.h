/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The web server: who may ask (Host, method, token), what for (the page's files, the API), and limits on how
 * long and how many. One thread; HTTP itself is libmicrohttpd's.
 */
#ifndef SONDE_SERVE_HTTP_H
#define SONDE_SERVE_HTTP_H

#include "serve/api.h"
#include "serve/config.h"
#include "serve/mhd.h"

struct http;
/* Accepts from `listening`, which is closed with it. Before the sandbox. 0 or a negative errno with err. */
int http__new(struct http **ret, const struct mhd *mhd, const struct serve_config *config,
	      struct api *api, int listening, struct err *err);
/* Until control ends or says so (-1: for ever), or a signal says so (*stop). 0 or a negative errno. */
int http__run(struct http *http, int control, const volatile int *stop);
/* NULL is fine. */
void http__free(struct http *http);

#endif
