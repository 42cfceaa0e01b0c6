// SPDX-License-Identifier: Apache-2.0
/* Protects: container ids and systemd units as engines and systemd write them into cgroup paths. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "probe/container.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

/* A copy of the exact size, so that reading past it is found. */
static struct view copy(const char *text)
{
	size_t n = strlen(text);
	char *to = malloc(n ? n : 1);

	memcpy(to, text, n);
	return (struct view){ to, n };
}

static void check_id(const char *text, const char *expected)
{
	struct view v = copy(text);
	char id[CONTAINER_ID_BYTES] = "";

	assert_int_equal(container__from_cgroup(v, id), expected[0] != '\0');
	assert_string_equal(id, expected);
	free((void *)v.at);
}

static void test_cgroup(void **state)
{
	check_id("0::/system.slice/docker-" ID ".scope\n", ID);
	check_id("12:cpu,cpuacct:/docker/" ID "\n1:name=systemd:/docker/" ID "\n", ID);
	check_id("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/"
		 "cri-containerd-" ID ".scope\n",
		 ID);
	check_id("5:memory:/kubepods/besteffort/pod5fd2b7a1-3a5e-4c1e-8d5d-2f0f1f1f1f1f/" ID "\n",
		 ID);
	check_id("1:cpu:/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:" ID
		 "\n",
		 ID);
	check_id("0::/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope\n", ID);
	check_id("0::/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope/container\n", ID);
	check_id("0::/kubepods.slice/crio-conmon-" ID ".scope\n", "");
	check_id("0::/machine.slice/libpod-" ID ".scope/container\n", ID);
	check_id("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope",
		 ID);
	check_id("0::/system.slice/web.service/libpod-payload-" ID "\n", ID);
	check_id("0::/machine.slice/libpod-conmon-" ID ".scope\n", "");
	check_id("9:perf_event:/ecs/0123456789abcdef0123456789abcdef/"
		 "0123456789abcdef0123456789abcdef-1234567890\n",
		 "0123456789abcdef0123456789abcdef-1234567890");
	check_id("0::/docker/" OTHER "/docker/" ID "\n", ID); /* the innermost */
	check_id("0::/../../" ID "\n", ID);
	/* not one */
	check_id("0::/\n", "");
	check_id("", "");
	check_id("\n\n::\n:\n0:", "");
	check_id("0::/user.slice/user-0.slice/session-1.scope\n", "");
	check_id("4:memory:/api/34bd70b9df32c0d843c760d866c7e7b0\n", "");
	check_id("0::/x" ID "\n", ""); /* longer than an id */
	check_id("0::/docker-" ID "0.scope\n", "");
	check_id("0::/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\n",
		 "");
	check_id(ID, "");
}

static void check_mount(const char *text, const char *expected)
{
	struct view v = copy(text);
	char id[CONTAINER_ID_BYTES] = "";

	assert_int_equal(container__from_mountinfo(v, id), expected[0] != '\0');
	assert_string_equal(id, expected);
	free((void *)v.at);
}

static void test_mountinfo(void **state)
{
	check_mount("22 27 0:21 / /proc rw - proc proc rw\n"
		    "733 660 8:1 /var/lib/docker/containers/" ID
		    "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n",
		    ID);
	check_mount("7 6 0:24 /containers/storage/overlay-containers/" ID
		    "/userdata/hosts /etc/hosts rw\n",
		    ID);
	/* the pod's sandbox is not the container; another target says nothing */
	check_mount("7 6 0:2 /containerd/io.containerd.grpc.v1.cri/sandboxes/" ID
		    "/hostname /etc/hostname rw\n",
		    "");
	check_mount("7 6 0:2 /var/lib/docker/containers/" ID "/x /data rw\n", "");
	check_mount("7 6 0:2 /var/lib/docker/containers/" ID "/x", "");
	check_mount("", "");
}

static void check_unit(const char *text, const char *expected)
{
	struct view v = copy(text);
	char unit[UNIT_NAME_BYTES] = "";
	bool found = container__unit(v, unit);

	assert_int_equal(found, expected[0] != '\0');
	if (found)
		assert_string_equal(unit, expected);
	free((void *)v.at);
}

static void test_unit(void **state)
{
	char text[1024];

	check_unit("0::/system.slice/nginx.service\n", "nginx");
	check_unit("9:name=systemd:/system.slice/nginx.service\n0::/\n", "nginx");
	check_unit("0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n",
		   "postgresql@15-main");
	check_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service\n",
		   "shop");
	check_unit("0::/system.slice/shop.service/workers\n", "shop");
	check_unit("0::/system.slice/run-parts-daemon.service\n", "run-parts-daemon");
	/* who began it, not what it is */
	check_unit("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", "");
	check_unit("0::/user.slice/user-0.slice/session-3.scope\n", "");
	check_unit("0::/system.slice/ssh.service\n", "");
	check_unit("0::/system.slice/cron.service\n", "");
	check_unit("0::/system.slice/run-r0123456789abcdef.service\n", "");
	check_unit("0::/system.slice/run-u12.service\n", "");
	check_unit("0::/system.slice/.service\n", "");
	/* a controller's tree of cgroup v1 is not systemd's */
	check_unit("4:memory:/system.slice/nginx.service\n", "");
	memset(text, 'x', sizeof(text));
	memcpy(text, "0::/", 4);
	memcpy(text + 1000, ".service", 9);
	check_unit(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroup),
		cmocka_unit_test(test_mountinfo),
		cmocka_unit_test(test_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
