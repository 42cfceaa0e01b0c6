// SPDX-License-Identifier: Apache-2.0
/* Protects: what is said of real programs, the role's socket, its deadline. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../headers/tls.h"
#include "core/message.h"
#include "inspect/inspect.h"

static int parse_path(const char *path, struct inspect_answer *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;

	assert_true(fd >= 0);
	status = inspect__parse(fd, ret);
	close(fd);
	return status;
}

static void test_programs(void **state)
{
	struct inspect_answer a = { .abi = INSPECT_ABI, .request = 7 };

	assert_int_equal(parse_path("/proc/self/exe", &a), 0);
	assert_int_equal(a.request, 7);
	/* not the runtime: this program holds every string that stands for one */
	assert_int_equal(a.flags & (INSPECT_DYNAMIC | INSPECT_STRIPPED), INSPECT_DYNAMIC);
	assert_int_equal(a.build_id_bytes, 20);
	assert_int_equal(parse_path("/bin/sleep", &a), 0);
	assert_int_equal(a.flags, INSPECT_DYNAMIC | INSPECT_STRIPPED);
	assert_int_equal(a.runtime, RUNTIME_NATIVE);
	assert_int_equal(parse_path("/etc/passwd", &a), -ENOEXEC);
	assert_int_equal(a.runtime, RUNTIME_UNKNOWN);
	assert_int_equal(parse_path("/dev/null", &a), -ENOEXEC);
	assert_int_equal(inspect__parse(-1, &a), -EIO);
}

static int memory_file(const void *bytes, size_t n)
{
	int fd = memfd_create("inspect_test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, 0), n);
	return fd;
}

/* An archive: a local header, a name in the central directory, its end. */
static void test_archive(void **state)
{
	static const char name[] = "BOOT-INF/lib/opentelemetry-sdk-trace-1.40.0.jar";
	uint8_t bytes[256] = "PK\3\4";
	uint32_t offset = 64, n = 46 + sizeof(name);
	struct inspect_answer a;
	int fd;

	memcpy(bytes + offset + 46, name, sizeof(name));
	memcpy(bytes + offset + n, "PK\5\6", 4);
	memcpy(bytes + offset + n + 12, &n, 4);
	memcpy(bytes + offset + n + 16, &offset, 4);
	fd = memory_file(bytes, offset + n + 22);
	assert_int_equal(inspect__parse(fd, &a), 0);
	assert_int_equal(a.runtime, RUNTIME_JAVA);
	assert_int_equal(a.flags, INSPECT_SDK);
	assert_string_equal(a.sdk, "opentelemetry-java");
	for (off_t cut = offset + n + 21; cut >= 0; cut--) {
		assert_int_equal(ftruncate(fd, cut), 0);
		assert_true(inspect__parse(fd, &a) < 0);
	}
	close(fd);
	offset = UINT32_MAX - 1; /* a directory past the end */
	memcpy(bytes + 64 + n + 16, &offset, 4);
	fd = memory_file(bytes, 64 + n + 22);
	assert_int_equal(inspect__parse(fd, &a), 0);
	assert_int_equal(a.flags, 0);
	close(fd);
}

/* The role in a process of its own, without the sandbox. */
static pid_t start_role(int *ret_socket)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[0]);
		_exit(inspect__main(fds[1]) ? 1 : 0);
	}
	close(fds[1]);
	*ret_socket = fds[0];
	return pid;
}

static int wait_answer(int fd, struct inspect_answer *ret)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 20000), 1);
	return inspect__answer(fd, ret);
}

static void test_role(void **state)
{
	struct inspect_answer a;
	int fd = open("/bin/sleep", O_RDONLY | O_CLOEXEC), socket, status;
	pid_t pid = start_role(&socket);

	assert_int_equal(inspect__answer(socket, &a), -EAGAIN);
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(inspect__ask(socket, i, fd), 0);
	for (uint32_t i = 1; i <= 3; i++) {
		assert_int_equal(wait_answer(socket, &a), 0);
		assert_int_equal(a.request, i);
		assert_int_equal(a.runtime, RUNTIME_NATIVE);
	}
	close(socket);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	close(fd);
}

/* A request that is none ends the role; the other end notices. */
static void test_bad_request(void **state)
{
	struct inspect_answer a;
	int socket, status;
	pid_t pid = start_role(&socket);

	assert_int_equal(send(socket, "x", 1, 0), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status));
	assert_int_equal(wait_answer(socket, &a), -ECONNRESET);
	close(socket);
}

/* What comes out of the sandbox is checked before it is believed. */
static void test_bad_answer(void **state)
{
	struct inspect_answer good = { .abi = INSPECT_ABI, .runtime = RUNTIME_GO }, bad, got;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(send(fds[1], &good, sizeof(good), 0), sizeof(good));
	assert_int_equal(inspect__answer(fds[0], &got), 0);
	assert_int_equal(send(fds[1], &good, sizeof(good) - 1, 0), sizeof(good) - 1);
	assert_int_equal(inspect__answer(fds[0], &got), -EPROTO);
	bad = good;
	memset(bad.module, 'x', sizeof(bad.module));
	send(fds[1], &bad, sizeof(bad), 0);
	assert_int_equal(inspect__answer(fds[0], &got), -EPROTO);
	bad = good;
	bad.runtime = 999;
	send(fds[1], &bad, sizeof(bad), 0);
	assert_int_equal(inspect__answer(fds[0], &got), -EPROTO);
	bad = good;
	bad.build_id_bytes = 33;
	send(fds[1], &bad, sizeof(bad), 0);
	assert_int_equal(inspect__answer(fds[0], &got), -EPROTO);
	close(fds[1]);
	assert_int_equal(inspect__answer(fds[0], &got), -ECONNRESET);
	close(fds[0]);
}

static struct inspect_tls good_tls(void)
{
	struct inspect_tls a = { .abi = INSPECT_ABI,
				 .library = TLS_GO,
				 .libraries = 1u << TLS_GO,
				 .n_functions = 1,
				 .n_points = 2 };

	a.functions[0].function = TLS_FN_GO_CONN_READ;
	a.points[0].function = a.points[1].function = TLS_FN_GO_CONN_READ;
	a.points[0].sets = a.points[1].sets = INSPECT_PLAIN | INSPECT_CHEAP;
	a.points[1].is_return = INSPECT_RETURN;
	return a;
}

static int pass_tls(const int *fds, const struct inspect_tls *a)
{
	static struct inspect_tls got;

	assert_int_equal(send(fds[1], a, sizeof(*a), 0), sizeof(*a));
	return inspect__answer_tls(fds[0], &got);
}

/* Numbers that whoever attaches probes would use as indexes. */
static void test_bad_tls_answer(void **state)
{
	struct inspect_tls good = good_tls(), bad;
	struct inspect_answer program = { .abi = INSPECT_ABI };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(pass_tls(fds, &good), 0);
	assert_int_equal(send(fds[1], &program, sizeof(program), 0), sizeof(program));
	assert_int_equal(inspect__answer_tls(fds[0], &bad), -EPROTO);
#define BAD(change)                                                                                \
	do {                                                                                       \
		bad = good;                                                                        \
		bad.change;                                                                        \
		assert_int_equal(pass_tls(fds, &bad), -EPROTO);                                    \
	} while (0)
	BAD(abi++);
	BAD(status = 1);
	BAD(library = TLS_LIBRARY_COUNT);
	BAD(libraries = 1u << TLS_LIBRARY_COUNT);
	BAD(hidden = 1u << 31);
	BAD(n_functions = INSPECT_FUNCTIONS_MAX + 1);
	BAD(n_points = INSPECT_POINTS_MAX + 1);
	BAD(n_functions = 0);
	BAD(functions[0].function = TLS_FN_NONE);
	BAD(functions[0].function = TLS_FN_COUNT);
	BAD(points[1].function = TLS_FN_SSL_READ);
	BAD(points[1].of = 1);
	BAD(points[1].is_return = INSPECT_INSIDE + 1);
	BAD(points[1].result = SONDE_TLS_RESULT_ONE + 1);
	BAD(points[1].condition = SONDE_TLS_CONDITIONS + 1);
	BAD(points[0].sets = 0);
	BAD(points[0].sets = 4);
#undef BAD
	close(fds[0]);
	close(fds[1]);
}

/* Both questions on one socket, in turn. */
static void test_role_tls(void **state)
{
	int fd = open("/bin/sleep", O_RDONLY | O_CLOEXEC), socket, status;
	struct pollfd p = { .events = POLLIN };
	pid_t pid = start_role(&socket);
	struct inspect_tls tls;
	struct inspect_answer a;

	p.fd = socket;
	assert_int_equal(inspect__ask_tls(socket, 1, fd), 0);
	assert_int_equal(inspect__ask(socket, 2, fd), 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(inspect__answer_tls(socket, &tls), 0);
	assert_int_equal(tls.request, 1);
	assert_int_equal(tls.status, 0);
	assert_int_equal(tls.library, TLS_NONE);
	assert_int_equal(wait_answer(socket, &a), 0);
	assert_int_equal(a.request, 2);
	close(socket);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),   cmocka_unit_test(test_archive),
		cmocka_unit_test(test_role),	   cmocka_unit_test(test_bad_request),
		cmocka_unit_test(test_bad_answer), cmocka_unit_test(test_bad_tls_answer),
		cmocka_unit_test(test_role_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
