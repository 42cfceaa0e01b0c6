/* SPDX-License-Identifier: Apache-2.0 */
/* The page's files, which are in the binary: by their exact names, so that no path leads anywhere else. */
#ifndef SONDE_SERVE_PAGE_H
#define SONDE_SERVE_PAGE_H

#include "base/buf.h"

struct page_file {
	const char *name, *type, *tag; /* tag: for ETag, quoted */
	const unsigned char *at;       /* compressed by gzip */
	size_t len;
};

/* An empty name is index.html. NULL: there is no such file. */
const struct page_file *page__find(struct view name);

#endif
