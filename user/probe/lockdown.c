/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/lockdown.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <linux/bpf.h>

/*
 * The last look at a program before the kernel's. Whatever is bpf_probe_read() by now was one of
 * the two, and the programs call the one for kernel memory only where settings.lockdown is 0: there
 * the verifier never comes.
 */
static int restore_user_reads(struct bpf_program *program, struct bpf_prog_load_opts *opts,
			      long cookie)
{
	struct bpf_insn *insns = (struct bpf_insn *)bpf_program__insns(program);
	size_t n = bpf_program__insn_cnt(program);

	for (size_t i = 0; i < n; i++)
		if (insns[i].code == (BPF_JMP | BPF_CALL) && insns[i].src_reg == 0 &&
		    insns[i].imm == BPF_FUNC_probe_read)
			insns[i].imm = BPF_FUNC_probe_read_user;
	return 0;
}

static int attach(const struct bpf_program *program, long cookie, struct bpf_link **ret)
{
	*ret = bpf_program__attach_trace(program);
	return *ret ? 0 : -errno;
}

int lockdown__prepare(void)
{
	static const struct {
		const char *section;
		enum bpf_attach_type type;
	} kinds[] = {
		{ "fentry+", BPF_TRACE_FENTRY },
		{ "fexit+", BPF_TRACE_FEXIT },
		{ "tp_btf+", BPF_TRACE_RAW_TP },
	};
	static bool prepared;
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = restore_user_reads,
		    .prog_attach_fn = attach);

	for (size_t i = 0; !prepared && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int err = libbpf_register_prog_handler(kinds[i].section, BPF_PROG_TYPE_TRACING,
						       kinds[i].type, &opts);

		if (err < 0)
			return err;
	}
	prepared = true;
	return 0;
}

int lockdown__set_targets(struct bpf_object *object)
{
	struct bpf_program *program;
	int err = 0;

	/* what libbpf's own handlers of these sections would have found out */
	bpf_object__for_each_program (program, object) {
		const char *slash = strchr(bpf_program__section_name(program), '/');

		if (slash && bpf_program__autoload(program))
			err = err ?: bpf_program__set_attach_target(program, 0, slash + 1);
	}
	return err;
}
