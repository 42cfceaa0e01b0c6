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

static const struct btf_type *func_proto(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);

	return id < 0 ? NULL : btf__type_by_id(btf, btf__type_by_id(btf, id)->type);
}

static bool has_member(const struct btf *btf, const char *type, const char *member)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);
	const struct btf_type *t;
	const struct btf_member *m;

	if (id < 0)
		return false;
	t = btf__type_by_id(btf, id);
	m = btf_members(t);
	for (int i = 0; i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, m[i].name_off), member))
			return true;
	return false;
}

static bool has_helper(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, "bpf_func_id", BTF_KIND_ENUM);
	const struct btf_type *t;

	if (id < 0)
		return false;
	t = btf__type_by_id(btf, id);
	for (int i = 0; i < btf_vlen(t); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_enum(t)[i].name_off), name))
			return true;
	return false;
}

static void read_btf(struct kernel_features *f)
{
	static const char *const life[] = { "tcp_set_state", "tcp_v4_destroy_sock",
					    "wake_up_new_task", "exit_files", "finalize_exec" };
	/* each newer one is called by the one after it */
	static const char *const queue[] = { "__sk_msg_recvmsg", "sk_msg_recvmsg",
					     "__tcp_bpf_recvmsg" };
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *proto;

	if (!btf)
		return;
	f->btf = true;
	f->sock_tracepoints =
		btf__find_by_name_kind(btf, "btf_trace_sock_send_length", BTF_KIND_TYPEDEF) > 0 &&
		btf__find_by_name_kind(btf, "btf_trace_sock_recv_length", BTF_KIND_TYPEDEF) > 0;
	/* both came with 5.11; the field is how a task holds its storage */
	f->task_storage = has_member(btf, "task_struct", "bpf_storage");
	f->hash_grows = has_member(btf, "bpf_htab", "ma");
	f->sk_storage = f->task_storage && has_member(btf, "sock", "sk_bpf_storage");
	f->task_regs = has_helper(btf, "BPF_FUNC_task_pt_regs");
	f->casts = func_proto(btf, "bpf_rdonly_cast") != NULL;
	f->sendpage =
		func_proto(btf, "do_tcp_sendpages") && func_proto(btf, "unix_stream_sendpage");
	f->unix_copy = func_proto(btf, "unix_stream_read_actor") != NULL;
	f->mptcp = func_proto(btf, "mptcp_sendmsg") != NULL;
	f->redirect = func_proto(btf, "tcp_bpf_sendmsg_redir") != NULL;
	for (size_t i = 0; !f->queue_read && i < sizeof(queue) / sizeof(queue[0]); i++)
		if (func_proto(btf, queue[i]))
			f->queue_read = queue[i];
	for (size_t i = 0; i < sizeof(life) / sizeof(life[0]); i++)
		f->life_kprobe[i] = func_proto(btf, life[i]) != NULL;
	f->ring_page_safe = has_member(btf, "bpf_ringbuf", "pending_pos");
	proto = func_proto(btf, "tcp_recvmsg");
	f->recv_args = proto ? btf_vlen(proto) : 0;
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
