#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Builds a second copy of the package with ASan and UBSan and runs the tests of the C core in it.
# Usage: sanitize.sh PYTHON
set -eu

python=$(realpath -s "${1:?usage: sanitize.sh PYTHON}")
cd "$(dirname "$0")/.."
build=$PWD/build/sanitize
rm -rf "$build"
mkdir -p "$build"
VMABENCH_SANITIZE=1 "$python" setup.py -q build --build-base "$build/tmp" --build-lib "$build/lib"

# Python itself is not instrumented, so the runtime has to be there before it. Python keeps
# memory until its end on purpose: leaks are not looked for.
runtime=$(gcc -print-file-name=libasan.so)
undefined=$(gcc -print-file-name=libubsan.so)
export VMABENCH_SANITIZED=1
LD_PRELOAD="$runtime $undefined" ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
	PYTHONPATH="$build/lib" "$python" -m pytest -q -p no:cacheprovider tests/test_native.py tests/test_scatter.py \
	-k "not a_run_has_a_value"
