#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The guest's first process: mounts, runs the script of boot.sh, says how it ended, powers off.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs security /sys/kernel/security 2>/dev/null
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
[ -e /dev/fd ] || ln -sf /proc/self/fd /dev/fd
hostname vm
ip link set lo up
ulimit -n 65536
for module in $(ls /run/modules 2>/dev/null | sort -n); do
	insmod "/run/modules/$module" || echo "insmod $module failed"
done
stty -onlcr </dev/ttyS0 2>/dev/null
printf "\n@@BEGIN\n"
(
	. /run/environment.sh
	. /run/script.sh
) 2>&1
printf "\n@@END %d\n" $?
poweroff -f
