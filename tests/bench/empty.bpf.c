// SPDX-License-Identifier: GPL-2.0-only
/* Programs that do nothing, on the hooks of each tier: what being there costs, to compare with. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tp_btf/sock_send_length")
int empty_socktp_send(void *ctx)
{
	return 0;
}

SEC("tp_btf/sock_recv_length")
int empty_socktp_recv(void *ctx)
{
	return 0;
}

SEC("kprobe/tcp_sendmsg_locked")
int empty_kprobe_send(void *ctx)
{
	return 0;
}

SEC("kprobe/tcp_recvmsg")
int empty_kprobe_recv(void *ctx)
{
	return 0;
}

SEC("kprobe/tcp_cleanup_rbuf")
int empty_kprobe_read(void *ctx)
{
	return 0;
}

SEC("fexit/tcp_sendmsg")
int empty_fentry_send(void *ctx)
{
	return 0;
}

SEC("fexit/tcp_recvmsg")
int empty_fentry_recv(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
