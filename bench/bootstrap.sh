#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Makes what one of the Makefile's targets needs: system packages, the virtual environment.
# Usage: bootstrap.sh bench|test|notebooks|lint|crosscheck|kernel-check
# What the guest needs is installed by the package itself (guest/base.py), when it is needed.
set -eu

what=${1:?usage: bootstrap.sh bench|test|notebooks|lint|crosscheck|kernel-check}
cd "$(dirname "$0")/.."
venv=.venv

say() { printf '%s\n' "$*" >&2; }

# missing PACKAGE TEST...: adds the package to the list unless the test succeeds
packages=
missing() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || packages="$packages $package"
}

python=$(command -v python3 || true)
has_python() { [ -n "$python" ] && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; }
has_venv() { has_python && "$python" -c 'import ensurepip, venv'; }
has_headers() {
	has_python && "$python" -c 'import os, sysconfig, sys
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}
has_libc() { printf '#include <stdio.h>\n' | gcc -E - ; }

find_missing() {
	missing python3 has_python
	missing python3-venv has_venv
	missing python3-dev has_headers
	missing gcc command -v gcc
	missing libc6-dev has_libc
	case $what,${VMABENCH_REQUIRE:-} in
	test,*all* | test,*chromium*)
		missing chromium command -v chromium # looks at the HTML report
		missing chromium-driver command -v chromedriver
		;;
	esac
	case $what in
	lint)
		missing clang command -v clang
		missing shellcheck command -v shellcheck
		missing groff command -v groff # the manual page
		missing mandoc command -v mandoc
		;;
	kernel-check)
		missing flex command -v flex
		missing bison command -v bison
		missing bc command -v bc
		missing perl command -v perl # checkpatch
		missing sparse command -v sparse
		missing libelf-dev test -e /usr/include/libelf.h
		missing linux-source-6.12 test -n "${KSRC:-}" -o -e /usr/src/linux-source-6.12.tar.xz
		;;
	crosscheck)
		missing linux-perf command -v perf
		;;
	esac
}

install_packages() {
	[ -n "$packages" ] || return 0
	as_root=
	[ "$(id -u)" = 0 ] || as_root="sudo -n"
	command="apt-get install -y --no-install-recommends$packages"
	if ! command -v apt-get >/dev/null || { [ -n "$as_root" ] && ! $as_root true 2>/dev/null; }; then
		say "vmabench needs packages that are not installed. As root: $command"
		exit 1
	fi
	say "installing$packages"
	log=$(mktemp)
	# shellcheck disable=SC2086  # a list of words on purpose
	if ! { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive $command; } >"$log" 2>&1; then
		tail -n 5 "$log" >&2
		say "vmabench needs packages that could not be installed. As root: $command"
		exit 1
	fi
	rm -f "$log"
	packages=
	python=$(command -v python3 || true)
	find_missing
	[ -z "$packages" ] || { say "vmabench still misses$packages: install Python 3.11 or newer, and these"; exit 1; }
}

find_missing
install_packages

make_venv() {
	[ -x "$venv/bin/python" ] || { say "making the virtual environment"; "$python" -m venv "$venv"; }
	say "installing vmabench and what it needs into $venv"
	# The setuptools that a new environment has is older than what builds the C core.
	"$venv/bin/pip" install -q --disable-pip-version-check 'setuptools>=77' -e "$1" || {
		say "pip could not install vmabench: see its message above"
		exit 1
	}
}

case $what in
bench)
	make_venv .
	touch "$venv/.bench"
	;;
test)
	make_venv '.[dev]'
	touch "$venv/.bench" "$venv/.test"
	;;
notebooks)
	make_venv '.[notebooks]'
	touch "$venv/.bench" "$venv/.notebooks"
	;;
esac
