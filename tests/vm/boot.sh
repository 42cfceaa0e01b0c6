#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# boot.sh - boot one kernel in QEMU with an initramfs of our own, run one script in it, power off.
#
#   boot.sh -k KERNEL [-a WORDS] [-s CPUS] [-m MB] [-t SECONDS] [-i SHIFT] [-l LOG]
#           [-b PROGRAM]... [-f FILE[:PATH]]... [-M MODULE]... [-e NAME=VALUE]... SCRIPT [ARG...]
#
#   -k  a name under $SONDE_CACHE/kernels (k510 k61 k612 knew), or a folder with an unpacked kernel
#   -a  more words for the kernel's command line: preempt=full, lockdown=confidentiality
#   -s  processors (2)      -m  memory (2048)      -t  limit in seconds on this side (300)
#   -i  count instructions: the guest's clock is 2^SHIFT ns an instruction, on one processor; what
#       is measured inside is then a count, independent of this machine's speed and load
#   -b  a program, put at its own path     -f  a file, put at PATH (default: its own path);
#       the shared libraries of both come along
#   -M  a kernel module to load first      -e  an environment variable of SCRIPT
#
# SCRIPT runs in busybox sh as root. Its output is this program's output; exit status is the
# script's, 124 when it took longer than -t, 125 when the guest never ended it (the last lines of
# the console say why). Software emulation (no KVM) is assumed: everything is 10 to 30 times slower.
set -eu
CACHE=${SONDE_CACHE:-/var/cache/sonde}
KERNEL='' WORDS='' CPUS=2 MEMORY=2048 LIMIT=300 SHIFT='' LOG=''
PROGRAMS=() FILES=() MODULES=() ENVIRONMENT=()
while getopts k:a:s:m:t:i:l:b:f:M:e: option; do
	case $option in
	k) KERNEL=$OPTARG ;; a) WORDS="$WORDS $OPTARG" ;; s) CPUS=$OPTARG ;; m) MEMORY=$OPTARG ;;
	t) LIMIT=$OPTARG ;; i) SHIFT=$OPTARG CPUS=1 ;; l) LOG=$OPTARG ;; b) PROGRAMS+=("$OPTARG") ;;
	f) FILES+=("$OPTARG") ;; M) MODULES+=("$OPTARG") ;; e) ENVIRONMENT+=("$OPTARG") ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] && [ -n "$KERNEL" ] || { sed -n '/^#   boot/,/^#           /p' "$0" >&2; exit 2; }
SCRIPT=$1
shift

[ -d "$KERNEL" ] || KERNEL=$CACHE/kernels/$KERNEL
# Up to 2025 the image lay in /boot, since then beside its modules.
IMAGE=$(ls "$KERNEL"/boot/vmlinuz-* "$KERNEL"/usr/lib/modules/*/vmlinuz 2>/dev/null | head -1) || true
[ -n "$IMAGE" ] || { echo "boot.sh: no kernel in $KERNEL (tests/vm/kernels.sh fetches it)" >&2; exit 2; }
ROOT=$(mktemp -d)
trap 'rm -rf "$ROOT" "$ROOT.cpio" "$ROOT.log"' EXIT
LOG=${LOG:-$ROOT.log}

put() { # FILE PATH
	mkdir -p "$ROOT$(dirname "$2")"
	cp -L --remove-destination "$1" "$ROOT$2"
	[ "$(head -c4 "$1" | tail -c3)" = ELF ] || return 0
	{ ldd "$1" 2>/dev/null || true; } | grep -oE '/[^ ]+' | while read -r library; do
		[ -e "$ROOT$library" ] || { mkdir -p "$ROOT$(dirname "$library")"; cp -L "$library" "$ROOT$library"; }
	done
}

make_root() {
	local applet program file module number=0
	mkdir -p "$ROOT"/{bin,sbin,etc,proc,sys,dev,run/modules,tmp,root,var/{log,run,lib,tmp},usr/{bin,sbin,lib},lib,lib64}
	chmod 1777 "$ROOT/tmp"
	cp /usr/bin/busybox "$ROOT/bin/busybox" 2>/dev/null || cp /bin/busybox "$ROOT/bin/busybox"
	for applet in $("$ROOT/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -sf /bin/busybox "$ROOT/bin/$applet"
	done
	for program in "${PROGRAMS[@]}"; do program=$(command -v "$program"); put "$program" "$program"; done
	for file in "${FILES[@]}"; do put "${file%%:*}" "${file#*:}"; done
	for module in "${MODULES[@]}"; do
		file=$(find "$KERNEL"/lib/modules "$KERNEL"/usr/lib/modules -name "$module.ko*" 2>/dev/null | head -1)
		number=$((number + 1))
		case $file in
		*.xz) xz -dc "$file" >"$ROOT/run/modules/$number.ko" ;;
		?*) cp "$file" "$ROOT/run/modules/$number.ko" ;;
		*) echo "boot.sh: no module $module in $KERNEL" >&2; exit 2 ;;
		esac
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nwww-data:x:33:33::/:/bin/false\n' >"$ROOT/etc/passwd"
	printf 'root:x:0:\nnogroup:x:65534:\nwww-data:x:33:\n' >"$ROOT/etc/group"
	printf '127.0.0.1 localhost vm\n::1 localhost\n' >"$ROOT/etc/hosts"
	printf 'passwd: files\ngroup: files\nhosts: files\n' >"$ROOT/etc/nsswitch.conf"
	echo vm >"$ROOT/etc/hostname"
	echo 0123456789abcdef0123456789abcdef >"$ROOT/etc/machine-id"
	cp "$SCRIPT" "$ROOT/run/script.sh"
	{
		for file in "${ENVIRONMENT[@]}"; do printf 'export %q\n' "$file"; done
		printf 'set --'
		[ $# -gt 0 ] && printf ' %q' "$@"
		echo
	} >"$ROOT/run/environment.sh"
	cp "$(dirname "$0")/init.sh" "$ROOT/init"
	chmod +x "$ROOT/init"
	(cd "$ROOT" && find . | cpio -o -H newc --quiet) >"$ROOT.cpio"
}
make_root "$@"

ACCEL=(-accel tcg,thread=multi)
# Debian 12's QEMU emulates cmpxchg16b in a way that makes 6.12 panic at random.
CPU=max,-cx16
if [ -n "$SHIFT" ]; then
	ACCEL=(-accel tcg,thread=single -icount "shift=$SHIFT,sleep=off")
	CPU=max
fi
# A kernel that patches its own code while another processor runs there may panic under emulation: that one meets
# an int3 that is nobody's, about once in some hundred boots, without anything of ours, too (Red Hat bug 2216496).
# Before its init ran no panic is ours; later none by an int3 in the kernel's own code.
is_emulator() {
	grep -q 'Kernel panic' "$LOG" || return
	! grep -q '^@@BEGIN' "$LOG" || { grep -q 'int3: 0000' "$LOG" && ! grep -m1 'RIP: 0010:' "$LOG" | grep -q bpf_; }
}
set +e
for ((boots = 1; ; boots++)); do
	timeout -k 5 "$LIMIT" qemu-system-x86_64 -M q35 "${ACCEL[@]}" -cpu $CPU -smp "$CPUS" -m "$MEMORY" \
		-nographic -no-reboot -nic none -kernel "$IMAGE" -initrd "$ROOT.cpio" \
		-append "console=ttyS0 quiet panic=-1 rdinit=/init$WORDS" </dev/null >"$LOG" 2>&1
	ended=$?
	if [ $boots = 3 ] || [ $ended = 124 ] || ! is_emulator; then
		break
	fi
	echo "boot.sh: the emulated kernel panicked: $(grep -m1 -o 'Oops: .*\|Kernel panic.*' "$LOG" | tr -d '\r'); booting again" >&2
done
tr -d '\r' <"$LOG" | sed -n '/^@@BEGIN/,/^@@END/{/^@@/d;p}'
[ $ended = 124 ] && { echo "boot.sh: $LIMIT s were not enough" >&2; exit 124; }
status=$(tr -d '\r' <"$LOG" | sed -n 's/^@@END \([0-9]*\).*/\1/p' | tail -1)
[ -n "$status" ] || { tail -25 "$LOG" >&2; exit 125; }
exit "$status"
