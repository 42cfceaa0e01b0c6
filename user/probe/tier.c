/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/tier.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "../../headers/settings.h"
#include "fentry.skel.h"
#include "kprobe.skel.h"
#include "kprobe_typed.skel.h"
#include "socktp.skel.h"

static const char *const names[TIERS] = { "fentry", "kprobe", "socktp" };

const char *tier__name(enum tier_id tier)
{
	return names[tier];
}

int tier__by_name(const char *name)
{
	for (int i = 0; i < TIERS; i++)
		if (!strcmp(names[i], name))
			return i;
	return -EINVAL;
}

const void *tier__object(enum tier_id tier, bool typed, size_t *ret_size)
{
	switch (tier) {
	case TIER_FENTRY:
		return fentry_bpf__elf_bytes(ret_size);
	case TIER_KPROBE:
		return typed ? kprobe_typed_bpf__elf_bytes(ret_size) :
			       kprobe_bpf__elf_bytes(ret_size);
	default:
		return socktp_bpf__elf_bytes(ret_size);
	}
}

/* The first bytes of a small file, as a string; false where it cannot be read. */
static bool file_text(const char *path, char *to, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return false;
	n = fread(to, 1, size - 1, f);
	fclose(f);
	to[n] = '\0';
	return true;
}

/*
 * Preemption: what debugfs says, else what the command line asked for, else what the version
 * string says. PREEMPT_DYNAMIC alone says nothing: then lazy preemption, newer than 6.13, is
 * assumed where the kernel may have it by default.
 */
static bool read_preempt(void)
{
	char text[4096];
	struct utsname u;
	const char *at;
	int major = 0, minor = 0;

	if (file_text("/sys/kernel/debug/sched/preempt", text, sizeof(text)))
		return strstr(text, "(full)") || strstr(text, "(lazy)");
	if (file_text("/proc/cmdline", text, sizeof(text)) && (at = strstr(text, "preempt=")))
		return !strncmp(at + 8, "full", 4) || !strncmp(at + 8, "lazy", 4);
	if (uname(&u))
		return false;
	if (strstr(u.version, "PREEMPT_RT") || strstr(u.version, "PREEMPT_LAZY"))
		return true;
	if (strstr(u.version, "PREEMPT_DYNAMIC")) {
		sscanf(u.release, "%d.%d", &major, &minor);
		return major >= 7;
	}
	return strstr(u.version, " PREEMPT ") != NULL;
}

static bool has_cap(cap_t caps, cap_value_t value)
{
	cap_flag_value_t set = CAP_CLEAR;

	return caps && !cap_get_flag(caps, value, CAP_EFFECTIVE, &set) && set == CAP_SET;
}

static void read_permissions(struct kernel_features *f)
{
	cap_t caps = cap_get_proc();
	bool admin = has_cap(caps, CAP_SYS_ADMIN);
	char text[32];

	f->root_or_bpf = admin || (has_cap(caps, CAP_BPF) && has_cap(caps, CAP_PERFMON));
	if (!admin && file_text("/proc/sys/kernel/perf_event_paranoid", text, sizeof(text)))
		f->perf_paranoid = atoi(text) > 2;
	cap_free(caps);
}

/* What is asked of the kernel's types. Found in one pass: there are some hundred thousand of them. */
struct asked {
	const char *name;
	unsigned int kind;
	const struct btf_type *type; /* the first of that name; NULL: there is none */
};

static void find_all(const struct btf *btf, struct asked *asked, size_t n)
{
	unsigned int types = btf__type_cnt(btf);

	for (unsigned int id = 1; id < types; id++) {
		const struct btf_type *t = btf__type_by_id(btf, id);
		unsigned int kind = btf_kind(t);
		const char *name;

		if (kind != BTF_KIND_FUNC && kind != BTF_KIND_STRUCT && kind != BTF_KIND_TYPEDEF &&
		    kind != BTF_KIND_ENUM && kind != BTF_KIND_VAR)
			continue;
		name = btf__name_by_offset(btf, t->name_off);
		for (size_t i = 0; i < n; i++)
			if (asked[i].kind == kind && !asked[i].type && !strcmp(asked[i].name, name))
				asked[i].type = t;
	}
}

static bool has_member(const struct btf *btf, const struct btf_type *t, const char *member)
{
	const struct btf_member *m = t ? btf_members(t) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, m[i].name_off), member))
			return true;
	return false;
}

static bool has_value(const struct btf *btf, const struct btf_type *t, const char *value)
{
	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), value))
			return true;
	return false;
}

enum {
	TASK,
	SOCK,
	HTAB,
	RINGBUF,
	HELPERS,
	TP_SENT,
	TP_RECEIVED,
	CAST,
	TCP_PAGES,
	UNIX_PAGE,
	UNIX_COPY,
	MPTCP,
	REDIRECT,
	RECVMSG,
	UPROBES,
	STORAGE_BUSY,
	STORAGE_RECUR,
	QUEUE,
	LIFE = QUEUE + 3,
	ASKED = LIFE + 5
};

static void read_btf(struct kernel_features *f)
{
	struct asked asked[ASKED] = {
		[TASK] = { "task_struct", BTF_KIND_STRUCT },
		[SOCK] = { "sock", BTF_KIND_STRUCT },
		[HTAB] = { "bpf_htab", BTF_KIND_STRUCT },
		[RINGBUF] = { "bpf_ringbuf", BTF_KIND_STRUCT },
		[HELPERS] = { "bpf_func_id", BTF_KIND_ENUM },
		[TP_SENT] = { "btf_trace_sock_send_length", BTF_KIND_TYPEDEF },
		[TP_RECEIVED] = { "btf_trace_sock_recv_length", BTF_KIND_TYPEDEF },
		[CAST] = { "bpf_rdonly_cast", BTF_KIND_FUNC },
		[TCP_PAGES] = { "do_tcp_sendpages", BTF_KIND_FUNC },
		[UNIX_PAGE] = { "unix_stream_sendpage", BTF_KIND_FUNC },
		[UNIX_COPY] = { "unix_stream_read_actor", BTF_KIND_FUNC },
		[MPTCP] = { "mptcp_sendmsg", BTF_KIND_FUNC },
		[REDIRECT] = { "tcp_bpf_sendmsg_redir", BTF_KIND_FUNC },
		[RECVMSG] = { "tcp_recvmsg", BTF_KIND_FUNC },
		[UPROBES] = { "bpf_uprobe_multi_link", BTF_KIND_STRUCT },
		[STORAGE_BUSY] = { "bpf_task_storage_busy", BTF_KIND_VAR },
		[STORAGE_RECUR] = { "bpf_task_storage_get_recur", BTF_KIND_FUNC },
		/* each newer one is called by the one after it */
		[QUEUE] = { "__sk_msg_recvmsg", BTF_KIND_FUNC },
		{ "sk_msg_recvmsg", BTF_KIND_FUNC },
		{ "__tcp_bpf_recvmsg", BTF_KIND_FUNC },
		[LIFE] = { "tcp_set_state", BTF_KIND_FUNC },
		{ "tcp_v4_destroy_sock", BTF_KIND_FUNC },
		{ "wake_up_new_task", BTF_KIND_FUNC },
		{ "exit_files", BTF_KIND_FUNC },
		{ "finalize_exec", BTF_KIND_FUNC },
	};
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return;
	find_all(btf, asked, ASKED);
	f->btf = true;
	f->sock_tracepoints = asked[TP_SENT].type && asked[TP_RECEIVED].type;
	/* both came with 5.11; the field is how a task holds its storage */
	f->task_storage = has_member(btf, asked[TASK].type, "bpf_storage");
	f->task_storage_shuts = asked[STORAGE_BUSY].type && !asked[STORAGE_RECUR].type;
	f->hash_grows = has_member(btf, asked[HTAB].type, "ma");
	f->sk_storage = f->task_storage && has_member(btf, asked[SOCK].type, "sk_bpf_storage");
	f->task_regs = has_value(btf, asked[HELPERS].type, "BPF_FUNC_task_pt_regs");
	f->casts = asked[CAST].type;
	f->sendpage = asked[TCP_PAGES].type && asked[UNIX_PAGE].type;
	f->unix_copy = asked[UNIX_COPY].type;
	f->mptcp = asked[MPTCP].type;
	f->redirect = asked[REDIRECT].type;
	f->attach_cookie = has_value(btf, asked[HELPERS].type, "BPF_FUNC_get_attach_cookie");
	f->uprobe_multi = asked[UPROBES].type;
	for (int i = QUEUE; !f->queue_read && i < LIFE; i++)
		if (asked[i].type)
			f->queue_read = asked[i].name;
	for (int i = LIFE; i < ASKED; i++)
		f->life_kprobe[i - LIFE] = asked[i].type;
	f->ring_page_safe = has_member(btf, asked[RINGBUF].type, "pending_pos");
	if (asked[RECVMSG].type)
		f->recv_args = btf_vlen(btf__type_by_id(btf, asked[RECVMSG].type->type));
	btf__free(btf);
}

void kernel_features__read(struct kernel_features *ret)
{
	/* What is missing is our answer: it need not be on standard error, too. */
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	char text[128];

	memset(ret, 0, sizeof(*ret));
	read_permissions(ret);
	read_btf(ret);
	libbpf_set_print(print);
	ret->kprobes = !access("/sys/bus/event_source/devices/kprobe/type", R_OK);
	if (file_text("/sys/kernel/security/lockdown", text, sizeof(text)))
		ret->lockdown = strstr(text, "[confidentiality]") != NULL;
	ret->preempt = read_preempt();
}

static bool refuse(struct tier_report *report, const char *why, const char *fix)
{
	report->available = false;
	snprintf(report->why, sizeof(report->why), "%s", why);
	snprintf(report->fix, sizeof(report->fix), "%s", fix);
	return false;
}

bool tier__possible(enum tier_id tier, const struct kernel_features *f, struct tier_report *report)
{
	*report = (struct tier_report){ .name = names[tier], .available = true };
	if (!f->root_or_bpf)
		return refuse(report, "loading BPF programs needs CAP_BPF and CAP_PERFMON",
			      "run sonde as root, or give it these capabilities");
	if (!f->btf)
		return refuse(
			report,
			"the kernel's type information (/sys/kernel/btf/vmlinux) is missing",
			"use a kernel built with CONFIG_DEBUG_INFO_BTF=y (every distribution's "
			"since 2021), or mount /sys into the container");
	if (tier == TIER_SOCKTP && !f->sock_tracepoints)
		return refuse(report,
			      "the kernel has no tracepoints sock_send_length and sock_recv_length",
			      "they came with Linux 6.3; on older kernels use kprobe or fentry");
	if (tier == TIER_FENTRY && f->lockdown && !f->task_regs)
		return refuse(
			report,
			"kernel lockdown (confidentiality) forbids programs to read kernel memory, "
			"and before Linux 5.15 fentry cannot do without",
			"boot with lockdown=integrity or without lockdown, or use a newer kernel");
	if (tier == TIER_KPROBE && !f->kprobes)
		return refuse(
			report, "kprobes are not compiled into this kernel, or /sys is not mounted",
			"use a kernel built with CONFIG_KPROBES=y and CONFIG_KPROBE_EVENTS=y");
	if (tier == TIER_KPROBE && f->lockdown)
		return refuse(report, "kernel lockdown (confidentiality) forbids kprobes",
			      "boot with lockdown=integrity or without lockdown");
	if (tier == TIER_KPROBE && f->perf_paranoid)
		return refuse(
			report,
			"kernel.perf_event_paranoid is 3 or more, so kprobes need CAP_SYS_ADMIN",
			"sysctl kernel.perf_event_paranoid=2, or give sonde CAP_SYS_ADMIN");
	return true;
}

unsigned int tier__order(const struct kernel_features *f, enum tier_id ret[TIERS])
{
	/* fentry and tp_btf programs miss hits where they can be preempted */
	ret[0] = f->preempt ? TIER_KPROBE : TIER_FENTRY;
	ret[1] = f->preempt ? TIER_FENTRY : TIER_KPROBE;
	ret[2] = TIER_SOCKTP;
	return TIERS;
}
