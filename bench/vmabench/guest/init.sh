#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The first process of the guest. The kernel has mounted the host's root file
# system over 9p, read only, and runs this file from there.
#
# The 9p share "vmabench" is a directory that host and guest use for one boot.
# setup.sh and command.sh in it say what to prepare and what to run. This script
# leaves stdout, stderr and status there, or failed with the reason. The host
# reports a guest that leaves no status as lost.

fail() {
	[ -e /proc/sysrq-trigger ] || mount -t proc proc /proc
	echo "vmabench-init: $*" >/dev/console
	[ -d /run/vmabench ] && echo "$*" >/run/vmabench/failed
	halt_guest
}

halt_guest() {
	sync
	echo o >/proc/sysrq-trigger
	# Execute nothing more: the power-off also stops the device that programs
	# are read from, and a first process that exits is a panic.
	while :; do :; done
}

# must COMMAND...: run it; report its error and stop the guest if it fails
must() {
	error=$("$@" 2>&1) || fail "$*: ${error:-exit status $?}"
}

# need PROGRAM PACKAGE: stop the guest if the host does not have the program
need() {
	command -v "$1" >/dev/null || fail "the host has no $1: run 'apt-get install $2'"
}

# An overlay with its upper layer in memory: commands may write anywhere.
new_root() {
	must mount -t tmpfs -o mode=1777 tmpfs /tmp
	must mkdir /tmp/upper /tmp/work /tmp/root
	must mount -t overlay -o lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work \
		overlay /tmp/root
	cd /tmp/root || fail "no new root"
	must mkdir -p .host
	# not chroot: a process in a chroot cannot create a user namespace
	must pivot_root . .host
	cd / || fail "no new root"
	# before umount, which reads /proc/mounts: over 9p, Linux 7.3 does not read links of the host's
	must mount -t proc proc /proc
	must umount -l /.host
}

file_systems() {
	must mount -t sysfs sysfs /sys
	must mount -t devtmpfs devtmpfs /dev
	must mkdir -p /dev/pts /dev/shm /run
	must mount -t devpts devpts /dev/pts
	must mount -t tmpfs -o mode=1777 tmpfs /dev/shm
	must mount -t tmpfs -o mode=755 tmpfs /run
	must mkdir -m 700 -p /run/vmabench "$HOME"
	# the guest's own ledger: the host's belongs to another user or another boot
	must mkdir -p /var/lib/vmabench
	must mount -t tmpfs -o mode=700 tmpfs /var/lib/vmabench
	must mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 \
		vmabench /run/vmabench
	must touch /run/vmabench/booted
	known cgroup2 /sys/fs/cgroup
	known debugfs /sys/kernel/debug
	known tracefs /sys/kernel/tracing
	must ln -sf /proc/self/fd /dev/fd
}

# known TYPE DIRECTORY: mount it if this kernel has such a file system
known() {
	if grep -qw "$1" /proc/filesystems; then
		must mount -t "$1" "$1" "$2"
	fi
}

# share TAG PATH: a directory of the host, writable, at its own path
share() {
	must mkdir -p "$2"
	must mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 "$1" "$2"
}

# swap_zram BYTES
swap_zram() {
	echo "$1" >/sys/block/zram0/disksize || fail "no zram device of $1 bytes"
	swap_disk /dev/zram0
}

# swap_disk DEVICE
swap_disk() {
	must mkswap "$1"
	must swapon "$1"
}

# scratch_disk DEVICE: swap files need a real file system, not 9p, an overlay or tmpfs
scratch_disk() {
	need mkfs.ext4 e2fsprogs
	must mkdir /run/scratch
	must mkfs.ext4 -q "$1"
	must mount "$1" /run/scratch
	VMABENCH_SWAP_DIR=/run/scratch
	export VMABENCH_SWAP_DIR
}

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# 9p accesses the host's /root as the user that started QEMU, often without permission.
HOME=/run/home
export PATH HOME

new_root
file_systems
# shellcheck source=/dev/null
. /run/vmabench/setup.sh || fail "setup.sh failed"
# A host without iproute2 has a guest without a loopback address; nothing here needs one.
if command -v ip >/dev/null; then
	must ip link set lo up
fi

if [ -n "$INTERACTIVE" ]; then
	# not /dev/console: it is no controlling terminal, so Ctrl-C would not work
	setsid -c sh /run/vmabench/command.sh </dev/ttyS0 >/dev/ttyS0 2>&1
else
	# a session of its own: signals to the command's group must not reach this shell
	setsid sh /run/vmabench/command.sh </dev/null \
		>/run/vmabench/stdout 2>/run/vmabench/stderr
fi
status=$?
{ echo "$status" >/run/vmabench/status.new &&
	mv /run/vmabench/status.new /run/vmabench/status; } ||
	fail "cannot store the exit status $status"
halt_guest
