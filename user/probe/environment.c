// SPDX-License-Identifier: Apache-2.0
#include "probe/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "probe/processes.h"

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

struct list {
	struct finding *at;
	unsigned int n, max;
};

static void __attribute__((format(printf, 5, 6)))
add(struct list *list, const char *name, enum finding_level level, const char *fix, const char *fmt,
    ...)
{
	struct finding *f;
	va_list ap;

	if (list->n == list->max)
		return;
	f = &list->at[list->n++];
	f->name = name;
	f->level = level;
	snprintf(f->fix, sizeof(f->fix), "%s", fix);
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

/* The first line of a small file, without its end; "" where it cannot be read. */
static void read_line(const char *path, char *into, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, into, size - 1);

	if (fd >= 0)
		close(fd);
	into[n > 0 ? n : 0] = 0;
	into[strcspn(into, "\n")] = 0;
}

static void look_kernel(struct list *list)
{
	struct utsname uts;
	unsigned int major = 0, minor = 0;

	uname(&uts);
	if (sscanf(uts.release, "%u.%u", &major, &minor) == 2 &&
	    (major < 5 || (major == 5 && minor < 10)))
		add(list, "kernel", FINDING_BAD, "use Linux 5.10 or newer",
		    "Linux %s is older than 5.10, the oldest that sonde works on", uts.release);
	else
		add(list, "kernel", FINDING_OK, "", "Linux %s on %s", uts.release, uts.machine);
}

static void look_btf(struct list *list)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK))
		add(list, "btf", FINDING_OK, "", "the kernel describes its types (BTF)");
	else
		add(list, "btf", FINDING_BAD,
		    errno == ENOENT ? "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (every "
				      "distribution's since 2021), or mount sysfs on /sys" :
				      "make /sys/kernel/btf/vmlinux readable",
		    "/sys/kernel/btf/vmlinux cannot be read: %s", strerror(errno));
}

static bool has_capability(cap_value_t cap)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t value = CAP_CLEAR;

	if (caps) {
		cap_get_flag(caps, cap, CAP_EFFECTIVE, &value);
		cap_free(caps);
	}
	return value == CAP_SET;
}

static void look_privileges(struct list *list)
{
	static const struct {
		const char *name;
		cap_value_t cap;
	} wanted[] = { { "CAP_BPF", CAP_BPF },
		       { "CAP_PERFMON", CAP_PERFMON },
		       { "CAP_SYS_PTRACE", CAP_SYS_PTRACE },
		       { "CAP_DAC_READ_SEARCH", CAP_DAC_READ_SEARCH } };
	char missing[128] = "";

	if (!has_capability(CAP_SYS_ADMIN))
		for (unsigned int i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (!has_capability(wanted[i].cap))
				snprintf(missing + strlen(missing),
					 sizeof(missing) - strlen(missing), "%s%s",
					 missing[0] ? ", " : "", wanted[i].name);
	if (!missing[0])
		add(list, "privileges", FINDING_OK, "",
		    "this process may load and attach programs");
	else
		add(list, "privileges", FINDING_BAD,
		    geteuid() ? "run sonde as root (sudo), or give it these capabilities" :
				"start it with these capabilities: a container or service took "
				"them away",
		    "this process lacks %s", missing);
}

static void look_tracefs(struct list *list)
{
	if (!access("/sys/kernel/tracing/events", R_OK | X_OK) ||
	    !access("/sys/kernel/debug/tracing/events", R_OK | X_OK))
		add(list, "tracefs", FINDING_OK, "", "tracefs is mounted");
	else
		add(list, "tracefs", FINDING_NOTE, "mount -t tracefs none /sys/kernel/tracing",
		    "tracefs cannot be seen (%s): older kernels need it to attach kprobes",
		    geteuid() ? "not mounted, or only root may look" : "not mounted");
}

static void look_paranoid(struct list *list)
{
	char text[32];
	int level;

	read_line("/proc/sys/kernel/perf_event_paranoid", text, sizeof(text));
	level = atoi(text);
	if (!text[0] || level < 3)
		add(list, "perf_event_paranoid", FINDING_OK, "",
		    "perf events are allowed (kernel.perf_event_paranoid is %s)",
		    text[0] ? text : "not there");
	else if (has_capability(CAP_SYS_ADMIN))
		add(list, "perf_event_paranoid", FINDING_OK, "",
		    "kernel.perf_event_paranoid is %d: kprobes need CAP_SYS_ADMIN, which is there",
		    level);
	else
		add(list, "perf_event_paranoid", FINDING_NOTE,
		    "sysctl kernel.perf_event_paranoid=2, or give sonde CAP_SYS_ADMIN",
		    "kernel.perf_event_paranoid is %d: the kprobe tier then needs CAP_SYS_ADMIN",
		    level);
}

static void look_lockdown(struct list *list)
{
	char text[64];

	read_line("/sys/kernel/security/lockdown", text, sizeof(text));
	if (strstr(text, "[confidentiality]"))
		add(list, "lockdown", FINDING_NOTE,
		    "boot with lockdown=integrity, or without Secure Boot's lockdown, for the "
		    "other tiers",
		    "the kernel is locked down (confidentiality): no kprobes, and no reading of "
		    "kernel memory by programs");
	else
		add(list, "lockdown", FINDING_OK, "",
		    "the kernel is not locked down against tracing");
}

static void look_jit(struct list *list)
{
	char text[32];

	read_line("/proc/sys/net/core/bpf_jit_enable", text, sizeof(text));
	if (!strcmp(text, "0"))
		add(list, "jit", FINDING_NOTE, "sysctl net.core.bpf_jit_enable=1",
		    "BPF programs are interpreted: capture costs several times more");
}

static void look_pid_namespace(struct list *list)
{
	if (processes__nested())
		add(list, "pid namespace", FINDING_NOTE,
		    "run it in the host's: docker run --pid=host, in Kubernetes hostPID: true",
		    "sonde runs in a pid namespace of its own: processes outside of it are traced, "
		    "but "
		    "known only by their command's name");
}

unsigned int environment__look(struct finding *ret, unsigned int max)
{
	struct list list = { ret, 0, max };

	look_kernel(&list);
	look_btf(&list);
	look_privileges(&list);
	look_tracefs(&list);
	look_paranoid(&list);
	look_lockdown(&list);
	look_jit(&list);
	look_pid_namespace(&list);
	return list.n;
}
