// SPDX-License-Identifier: Apache-2.0
#include "inspect/inspect.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "core/message.h"
#include "inspect/buildinfo.h"
#include "inspect/scan.h"
#include "inspect/text.h"

void text__copy(char *to, size_t max, const char *at, size_t len)
{
	size_t n = len < max - 1 ? len : max - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = at[i] >= 0x20 && at[i] < 0x7f ? at[i] : '?';
	memset(to + n, 0, max - n);
}

static int parse_program(struct file *file, struct inspect_answer *ret)
{
	static struct elf elf; /* too large for a stack */
	int err = elf__open(&elf, file);
	long n;

	if (err)
		return err;
	ret->machine = elf.machine;
	if (elf__segment(&elf, PT_INTERP))
		ret->flags |= INSPECT_DYNAMIC;
	if (!elf__section(&elf, ".symtab"))
		ret->flags |= INSPECT_STRIPPED;
	n = elf__note(&elf, "GNU", NT_GNU_BUILD_ID, ret->build_id, sizeof(ret->build_id));
	ret->build_id_bytes = (uint32_t)n;
	if (!buildinfo__read(&elf, ret))
		scan__program(&elf, ret);
	return 0;
}

int inspect__parse(int fd, struct inspect_answer *ret)
{
	uint32_t abi = ret->abi, request = ret->request;
	struct file file;

	memset(ret, 0, sizeof(*ret));
	ret->abi = abi;
	ret->request = request;
	ret->status = file__open(&file, fd);
	if (ret->status)
		return ret->status;
	ret->status = parse_program(&file, ret);
	if (ret->status == -ENOEXEC)
		ret->status = scan__archive(&file, ret);
	if (file.cut)
		ret->flags |= INSPECT_CUT;
	return ret->status;
}
