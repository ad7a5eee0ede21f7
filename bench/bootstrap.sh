#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Install what a target of the Makefile needs: system packages and the virtual environment.
# Usage: [VENV=DIR] bootstrap.sh bench|test|notebooks|lint|crosscheck|kernel-check
#
# The next call continues an interrupted set-up: it remakes an environment that contains .unfinished
# or was made for another path, and it writes the stamps ($VENV/.bench, .test, .notebooks) last.
# guest/base.py lists the packages of the guest.
set -eu
umask 022 # some tests run as another user and must read the environment

usage="usage: bootstrap.sh bench|test|notebooks|lint|crosscheck|kernel-check"
what=${1:?$usage}
cd "$(dirname "$0")/.."
here=$(pwd -P)
venv=${VENV:-.venv}

say() { printf '%s\n' "$*" >&2; }
die() {
	say "bootstrap.sh: $*"
	exit 1
}

# --- which packages are missing ---

packages=
# missing PACKAGE TEST...: add the package to the list unless the test succeeds
missing() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || packages="$packages $package"
}

# Set $python to the first Python that is new enough; to python3 if none is.
choose_python() {
	for python in python3 python3.14 python3.13 python3.12 python3.11; do
		if has_python; then return; fi
	done
	python=python3
}
has_python() { "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_venv() { has_python && "$python" -c 'import ensurepip, venv'; }
has_headers() {
	has_python && "$python" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}
has_libc() { printf '#include <stdio.h>\n' | gcc -E -; }

find_missing() {
	packages=
	choose_python
	missing python3 has_python
	missing "$python-venv" has_venv
	missing "$python-dev" has_headers
	missing gcc command -v gcc
	missing libc6-dev has_libc
	case $what in
	test)
		missing git command -v git
		missing util-linux command -v setpriv
		missing perl perl -MTerm::ANSIColor -e 1 # checkpatch
		missing groff command -v groff           # the manual page
		missing mandoc command -v mandoc
		missing shellcheck command -v shellcheck
		case ${VMABENCH_REQUIRE:-} in
		*all* | *chromium*) # for tests of the HTML report
			missing chromium command -v chromium
			missing chromium-driver command -v chromedriver
			;;
		esac
		;;
	lint)
		missing clang command -v clang
		missing shellcheck command -v shellcheck
		;;
	kernel-check)
		missing flex command -v flex
		missing bison command -v bison
		missing bc command -v bc
		missing patch command -v patch
		missing xz-utils command -v xz
		missing perl perl -MTerm::ANSIColor -e 1 # checkpatch
		missing sparse command -v sparse
		missing libelf-dev test -e /usr/include/libelf.h
		missing linux-source-6.12 test -n "${KSRC:-}" -o -e /usr/src/linux-source-6.12.tar.xz
		;;
	crosscheck)
		missing linux-perf command -v perf
		;;
	bench | notebooks) ;;
	*) die "$usage" ;;
	esac
}

# --- running apt-get and pip ---

log=
# Make exits with "Error 130" and no other word.
trap 'rm -f "$log"; say "bootstrap.sh: interrupted; the same command continues"; exit 130' INT TERM HUP

# attempt COMMAND...: run it with its output in $log
attempt() {
	log=$(mktemp 2>/dev/null) || die "cannot write to ${TMPDIR:-/tmp}: free space there, or set TMPDIR"
	"$@" >"$log" 2>&1 || return 1
	rm -f "$log"
}

has_said() { grep -qiE "$1" "$log"; }

# Print the cause that $log shows, and what to do about it.
cause() {
	proxy=${https_proxy:-${http_proxy:-${HTTPS_PROXY:-${HTTP_PROXY:-}}}}
	full=$(df -Pk . "$venv" "${TMPDIR:-/tmp}" 2>/dev/null | awk 'NR > 1 && $4 < 20480 {print $6; exit}')
	network='temporary failure (in|resolving)|could not resolve|name or service not known|unreachable'
	network="$network|connection refused|connection failed|connection timed out|could not connect"
	network="$network|unable to connect|NewConnectionError|ConnectTimeout|connect timeout|read timed out"
	if [ -n "$full" ] || has_said 'no space left on device|enough free space'; then
		echo "the disk is full (${full:-$(grep -iE -m 1 'no space|enough free' "$log")}):" \
			"free 2 GB and run the command again"
	elif has_said 'certificate verify failed|NOSPLIT|network require authentication'; then
		echo "a proxy or a portal answers instead of the server:" \
			"log in to the network, or set PIP_CERT to the proxy's CA file"
	elif has_said 'ProxyError|tunnel connection failed|407 proxy' || { [ -n "$proxy" ] && has_said "$network"; }; then
		echo "the proxy ${proxy:-of the configuration} does not answer or refuses:" \
			"correct http_proxy and https_proxy, or unset them"
	elif has_said "$network"; then
		echo "no network: connect this machine, or configure a mirror, and run the command again"
	elif has_said 'could not get lock'; then
		echo "another apt-get is running: wait for its end and run the command again"
	else
		echo "$(first_error) (all of it: $log)"
	fi
}

first_error() {
	grep -E '(^|[: ])error: |^E: |^ERROR: ' "$log" | grep -v subprocess-exited | grep -m 1 . ||
		tail -n 1 "$log"
}

# sudo drops the proxies, and a service that a package starts must not keep the lock (9).
apt() {
	$as_root env ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
		DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -o DPkg::Lock::Timeout=300 "$@" 9<&-
}

fetch_packages() {
	$as_root dpkg --configure -a 9<&- || return # after an interrupted installation
	apt update -q || true                       # one broken source must not stop the others
	apt install -y --no-install-recommends "$@"
}

install_packages() {
	[ -n "$packages" ] || return 0
	as_root=
	[ "$(id -u)" = 0 ] || as_root="sudo -n"
	fix="as root: apt-get install$packages"
	command -v apt-get >/dev/null || die "$what needs$packages, and there is no apt-get: install them"
	if [ -n "$as_root" ] && ! $as_root true 2>/dev/null; then
		die "$what needs packages, and only root may install them; $fix"
	fi
	say "installing$packages"
	# shellcheck disable=SC2086  # a list of words on purpose
	attempt fetch_packages $packages || die "apt-get cannot install$packages: $(cause); then, $fix"
	find_missing
	[ -z "$packages" ] || die "$what still lacks$packages: it needs Python 3.11 or newer, and these"
}

# --- the virtual environment ---

# Whether the environment is complete and was made for this path, which its scripts contain.
is_whole() {
	[ ! -e "$venv/.unfinished" ] && [ "$(cat "$venv/.path" 2>/dev/null)" = "$here" ] &&
		"$venv/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

is_fresh() {
	is_whole && [ -n "$(find "$venv/.$what" -newer pyproject.toml -newer setup.py \
		-newer bench/bootstrap.sh 2>/dev/null)" ]
}

new_venv() {
	if [ -d "$venv" ] && ! rmdir "$venv" 2>/dev/null; then
		[ -e "$venv/pyvenv.cfg" ] || [ -e "$venv/.unfinished" ] ||
			die "VENV=$venv is no virtual environment: name another directory"
		say "making the virtual environment again: $1"
		rm -rf "$venv"
	fi
	write_venv mkdir -p "$venv"
	write_venv touch "$venv/.unfinished"
	attempt "$python" -m venv "$venv" || die "cannot make the virtual environment $venv: $(cause)"
}

write_venv() { attempt "$@" || die "cannot write to $venv (VENV names another directory): $(cause)"; }

# finish STAMP...
finish() {
	printf '%s\n' "$here" >"$venv/.path" && rm "$venv/.unfinished" || return
	for stamp; do touch "$venv/.$stamp" || return; done
}

# make_venv REQUIREMENT STAMP...
make_venv() {
	requirement=$1
	shift
	for directory in . bench bench/vmabench/native; do
		[ -w "$directory" ] ||
			die "the checkout $here is read-only, but set-up builds in it: copy it (cp -r) and run there"
	done
	is_whole || new_venv "interrupted, moved, or made for another Python"
	write_venv touch "$venv/.unfinished"
	say "installing vmabench and its requirements into $venv"
	# The setuptools of a new environment is too old to build the C core.
	attempt "$venv/bin/python" -m pip install -q --disable-pip-version-check 'setuptools>=77' -e "$requirement" ||
		die "pip cannot install $(sed -n 's/.*No matching distribution found for //p' "$log" |
			grep -m 1 . || echo vmabench): $(cause)"
	write_venv finish "$@"
}

# Install the packages of the guest. Without them its tests are skipped, or fail if required.
guest_packages() {
	"$venv/bin/python" - <<'PYTHON'
import sys
from vmabench.errors import VmabenchError
from vmabench.guest import base
try:
    if missing := base.missing_packages():
        print("installing " + " ".join(missing), file=sys.stderr)
    base.prepare(install=base.apt_install)
except VmabenchError as error:
    sys.exit(f"bootstrap.sh: {error}")
except KeyboardInterrupt:
    sys.exit(130)
PYTHON
}

# A second set-up waits for the first. The lock is on this file, so that no lock file stays behind,
# and pip inherits it: after kill -9 of this script, the next set-up waits for the end of that pip.
exec 9<bench/bootstrap.sh
flock -n 9 2>/dev/null || case $? in
1)
	say "waiting for another set-up of this checkout"
	flock 9
	;;
*) say "cannot lock this checkout (a network file system?): run one set-up at a time" ;;
esac
find_missing
install_packages
case $what in
bench) is_fresh || make_venv . bench ;;
notebooks) is_fresh || make_venv '.[notebooks]' bench notebooks ;;
test)
	is_fresh || make_venv '.[dev]' bench test
	guest_packages || {
		rm "$venv/.test"
		[ -z "${VMABENCH_REQUIRE:-}" ] || exit 1
	}
	;;
esac
