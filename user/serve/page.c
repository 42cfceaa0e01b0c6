// SPDX-License-Identifier: Apache-2.0
#include "serve/page.h"

#include "page_files.h"

const struct page_file *page__find(struct view name)
{
	if (!name.len)
		name = VIEW("index.html");
	for (size_t i = 0; i < sizeof(page_files) / sizeof(page_files[0]); i++)
		if (view_eq(name, view_of(page_files[i].name)))
			return &page_files[i];
	return NULL;
}
