#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Run the two commands of the README, or other commands, in a bare Debian: a minimal root with git,
# python3, gcc and make, and a clone of HEAD in root's home directory. Needs root and debootstrap.
#
# Usage: [VARIABLE=VALUE...] bare_check.sh [COMMAND...]
#   SUITE=bookworm     Debian 12 (bookworm) or 13 (trixie)
#   ORDER=bench-first  `make bench`, then `make test`; or test-first. COMMANDs replace both.
#   CACHE=DIR          use DIR as ~/.cache/vmabench, which keeps built kernels
#   WHEELS=DIR         use DIR as ~/.cache/pip
#   ROOTS=DIR          make the root in DIR, and keep SUITE.tar there for the next check
#                      (default: vmabench/roots below the XDG cache); needs 8 GB
#   KEEP=1             keep the root, as ROOTS/kept-SUITE
#
# Packages come from the mirrors of this machine: the check copies apt's sources (under the name of
# the suite), proxies and settings, pip's configuration and the certificates into the root. All
# mounts are in a mount namespace and end with it. The check prints the time and status of each
# command, and stops with status 1 at the first that fails. A command that measures fails while
# another run measures on this machine: the lock of the machine holds across roots.
set -eu

suite=${SUITE:-bookworm}
roots=$(realpath -m "${ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/vmabench/roots}")
packages=git,python3,gcc,make,ca-certificates # pip needs the last behind an https proxy

say() { printf 'bare-check: %s\n' "$*"; }
die() {
	say "$*" >&2
	exit 1
}

# --- the root ---

sources() {
	apt-get indextargets --format "\$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
		'Created-By: Packages' 'Origin: Debian' | sort -u
}

# Write the tarball of a root from debootstrap. Its name appears when it is complete.
make_tarball() {
	mirror=$(sources | awk -v own="$own_suite" '$2 == own {print $1; exit}')
	say "debootstrap $suite"
	log=$roots/debootstrap.log
	debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >"$log" 2>&1 ||
		die "debootstrap failed: $(grep -E '^[EW]:' "$log" | tail -n 1) (all of it: $log)"
	rm -f "$log" "$root"/var/cache/apt/archives/*.deb
	tar -C "$root" -cf "$root.tar" .
	mv "$root.tar" "$roots/$suite.tar"
}

# Copy what this machine needs to reach packages, no more.
copy_configuration() {
	sources | sed "s/ $own_suite/ $suite/" | sed 's/^/deb /' >"$root/etc/apt/sources.list"
	apt-config dump | grep -E '^Acquire::(Check-|https?|ForceIPv4|Retries)' \
		>"$root/etc/apt/apt.conf.d/90machine" || true
	# ca-certificates.crt may contain the certificate of this machine's proxy
	for path in /etc/apt/trusted.gpg.d /etc/apt/keyrings /etc/pip.conf /etc/xdg/pip /etc/hosts \
		/etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
		[ -e "$path" ] || continue
		mkdir -p "$root${path%/*}"
		cp -rL "$path" "$root${path%/*}/"
	done
}

# Remove the roots of killed checks.
remove_stale() {
	for old in "$roots"/check-*; do
		pid=${old##*check-}
		[ -d "/proc/${pid%%.*}" ] || rm -rf --one-file-system "$old"
	done
}

prepare() {
	[ -n "$(sources)" ] || die "apt has no lists of Debian's packages: run apt-get update"
	mkdir -p "$roots"
	remove_stale
	mkdir "$root"
	trap 'rm -rf --one-file-system "$root" "$root".*' EXIT
	trap 'exit 130' INT TERM HUP
	if [ -e "$roots/$suite.tar" ]; then
		tar -C "$root" -xf "$roots/$suite.tar"
	else
		command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
		make_tarball
	fi
	copy_configuration
	find "$root/root" -mindepth 1 -delete
	git clone -q "$top" "$root/root/vmabench"
	[ -z "$(git -C "$top" status --porcelain)" ] || say "uncommitted changes are not in the clone"
}

# --- inside the namespaces ---

bind() {
	[ -n "$1" ] || return 0
	mkdir -p "$1" "$2"
	mount --bind "$1" "$2"
}

# inside ROOT COMMAND...: mount the file systems of the root, and run the commands in it
inside() {
	root=$1
	shift
	mount --bind "$root" "$root"
	mount --rbind /dev "$root/dev"
	mount --rbind /sys "$root/sys"
	mount -t proc proc "$root/proc"
	mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
	mount -t tmpfs -o mode=755 tmpfs "$root/run"
	mkdir -m 1777 "$root/run/lock"
	bind "${CACHE:-}" "$root/root/.cache/vmabench"
	bind "${WHEELS:-}" "$root/root/.cache/pip"
	exec 3>>"$root.outcome"
	# Not chroot: in one, unshare(1) cannot make mounts private, and user namespaces are refused.
	cd "$root"
	pivot_root . mnt
	cd /
	umount --lazy /mnt
	for command; do
		say "$suite: $command"
		began=$(date +%s)
		status=0
		in_root "cd /root/vmabench && $command" || status=$?
		line="$suite: $command: status $status after $(($(date +%s) - began)) s"
		say "$line"
		printf '%s\n' "$line" >&3
		[ "$status" = 0 ] || exit 1
	done
}

# Run a command as a login of root would, plus the variables of proxies, pip and certificates,
# VMABENCH_REQUIRE and CI.
in_root() {
	kept=$(env | grep -E '^(PIP_[A-Z_]+|[a-z]+_proxy|[A-Z]+_PROXY|SSL_CERT_FILE|VMABENCH_REQUIRE|CI)=' |
		sed "s/'/'\\\\''/g; s/=/='/; s/\$/'/")
	env -i HOME=/root USER=root SHELL=/bin/bash TERM="${TERM:-dumb}" LANG=C.UTF-8 \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		sh -c "set -a; $kept
set +a; $1" 3>&-
}

if [ "${1:-}" = --inside ]; then
	shift
	inside "$@"
	exit
fi

case $suite,${ORDER:-bench-first} in
bookworm,bench-first | trixie,bench-first) first=bench second=test ;;
bookworm,test-first | trixie,test-first) first=test second=bench ;;
*) die "SUITE is bookworm or trixie, ORDER is bench-first or test-first" ;;
esac
[ $# -gt 0 ] || set -- "make $first" "make $second"
[ "$(id -u)" = 0 ] || die "only root may make a root and mount in it"
# shellcheck source=/dev/null
own_suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
root=$roots/check-$$
prepare
say "$suite, commit $(git -C "$top" rev-parse --short HEAD), in $root"
status=0
# A killed check takes all of its processes, and so its mounts, with it.
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child \
	sh "$0" --inside "$root" "$@" &
child=$!
trap 'kill -KILL "$child"; wait "$child" || true; exit 130' INT TERM HUP
wait "$child" || status=$?
say "----"
cat "$root.outcome" 2>/dev/null || say "no command has ended"
if [ -n "${KEEP:-}" ]; then
	rm -rf --one-file-system "$roots/kept-$suite"
	mv "$root" "$roots/kept-$suite"
	say "the root is kept in $roots/kept-$suite"
fi
exit "$status"
