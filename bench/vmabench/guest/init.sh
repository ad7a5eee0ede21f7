#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The first process of the guest. The kernel has mounted the host's root over
# 9p, read only, and runs this file by its path there.
#
# The directory with the tag "vmabench" is the one thing that host and guest
# share for writing by default: command.sh is what to run, setup.sh how; stdout,
# stderr and status are what came of it. A guest that leaves no status is lost.

fail() {
	echo "vmabench-init: $*" >/dev/console
	[ -d /run/vmabench ] && echo "$*" >/run/vmabench/failed
	halt_guest
}

halt_guest() {
	sync
	echo o >/proc/sysrq-trigger
	# Nothing is executed from here on: the disk that it would come from is
	# being shut down, and a first process that ends is a panic.
	while :; do :; done
}

# An overlay whose upper layer is memory, so that commands may write anywhere.
new_root() {
	mount -t tmpfs -o mode=1777 tmpfs /tmp || return
	mkdir /tmp/upper /tmp/work /tmp/root || return
	mount -t overlay -o lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work \
		overlay /tmp/root || return
	cd /tmp/root || return
	mkdir -p .host || return
	# not chroot: in a chroot no user namespace can be made
	pivot_root . .host || return
	cd / && umount -l /.host
}

file_systems() {
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs devtmpfs /dev
	mkdir -p /dev/pts /dev/shm /run
	mount -t devpts devpts /dev/pts
	mount -t tmpfs -o mode=1777 tmpfs /dev/shm
	mount -t tmpfs -o mode=755 tmpfs /run
	# the guest's own ledger: the host's belongs to another user or another boot
	mkdir -p /var/lib/vmabench
	mount -t tmpfs -o mode=700 tmpfs /var/lib/vmabench
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	[ -d /sys/kernel/debug ] && mount -t debugfs debugfs /sys/kernel/debug
	[ -d /sys/kernel/tracing ] && mount -t tracefs tracefs /sys/kernel/tracing
	ln -sf /proc/self/fd /dev/fd
	mkdir -p /run/vmabench
	mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 \
		vmabench /run/vmabench
}

# share TAG PATH: a directory of the host, writable, at its own path
share() {
	mkdir -p "$2" && mount -t 9p -o \
		trans=virtio,version=9p2000.L,msize=262144 "$1" "$2"
}

# swap_zram BYTES
swap_zram() {
	echo "$1" >/sys/block/zram0/disksize &&
		mkswap /dev/zram0 >/dev/null && swapon /dev/zram0
}

swap_disk() {
	mkswap "$1" >/dev/null && swapon "$1"
}

# A swap file can lie on a real file system alone: not on 9p, an overlay or tmpfs.
scratch_disk() {
	mkdir /run/scratch && mkfs.ext4 -q "$1" && mount "$1" /run/scratch
	VMABENCH_SWAP_DIR=/run/scratch
	export VMABENCH_SWAP_DIR
}

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
export PATH HOME

new_root || { mount -t proc proc /proc; fail "no root file system"; }
file_systems
[ -f /run/vmabench/setup.sh ] || fail "no shared directory"
# shellcheck source=/dev/null
. /run/vmabench/setup.sh || fail "setup failed"
ip link set lo up 2>/dev/null

if [ -n "$INTERACTIVE" ]; then
	# not /dev/console, which controls nobody: Ctrl-C would reach no one
	setsid -c sh /run/vmabench/command.sh </dev/ttyS0 >/dev/ttyS0 2>&1
else
	# a session of its own: what the command signals must not be this shell
	setsid sh /run/vmabench/command.sh </dev/null \
		>/run/vmabench/stdout 2>/run/vmabench/stderr
fi
echo $? >/run/vmabench/status.new
mv /run/vmabench/status.new /run/vmabench/status
halt_guest
