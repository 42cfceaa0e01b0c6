// SPDX-License-Identifier: Apache-2.0
/* Where the functions of TLS libraries are in a file: what inspect answers to INSPECT_WANT_TLS. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/go.h"
#include "inspect/inspect.h"
#include "inspect/returns.h"
#include "inspect/scan.h"
#include "inspect/symbols.h"

static void add_symbols(const struct elf *elf, struct inspect_tls *ret)
{
	static struct symbols symbols;

	symbols__read(elf, &symbols);
	for (unsigned int i = 0; i < symbols.n; i++)
		if (returns__add(elf, symbols.at[i].function, symbols.at[i].address,
				 symbols.at[i].bytes, NULL, ret) == -E2BIG)
			elf->file->cut = true;
}

static int compare_points(const void *a, const void *b)
{
	const struct inspect_point *x = a, *y = b;

	if (x->of != y->of)
		return x->of < y->of ? -1 : 1;
	if (!x->is_return != !y->is_return)
		return x->is_return ? 1 : -1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static void add_libraries(struct inspect_tls *ret)
{
	for (uint32_t i = 0; i < ret->n_functions; i++) {
		enum tls_library library = functions__library(ret->functions[i].function);

		if (!ret->library)
			ret->library = (uint16_t)library;
		ret->libraries |= 1u << library;
	}
}

static int parse(struct file *file, struct inspect_tls *ret)
{
	static struct elf elf; /* too large for a stack */
	int err = elf__open(&elf, file);

	if (err)
		return err;
	ret->machine = elf.machine;
	if (elf__segment(&elf, PT_INTERP))
		ret->flags |= INSPECT_DYNAMIC;
	if (!elf__section(&elf, ".symtab"))
		ret->flags |= INSPECT_STRIPPED;
	add_symbols(&elf, ret);
	go__read(&elf, ret);
	qsort(ret->points, ret->n_points, sizeof(ret->points[0]), compare_points);
	add_libraries(ret);
	if (!ret->n_functions)
		ret->hidden |= scan__tls(&elf);
	return 0;
}

int inspect__parse_tls(int fd, struct inspect_tls *ret)
{
	uint32_t abi = ret->abi, request = ret->request;
	struct file file = { .fd = fd };

	memset(ret, 0, sizeof(*ret));
	ret->abi = abi;
	ret->request = request;
	ret->status = file__open(&file, fd);
	if (!ret->status)
		ret->status = parse(&file, ret);
	if (file.cut)
		ret->flags |= INSPECT_CUT;
	return ret->status;
}
