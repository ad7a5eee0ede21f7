# SPDX-License-Identifier: GPL-2.0-only
"""Build what pyproject.toml cannot describe: the C core, and the copy of kernel/ in a wheel."""

import os
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

NATIVE = "bench/vmabench/native"
#: the files of kernel/ that `vmabench guest` reads; programs that were built there stay out
KERNEL_FILES = {".patch", ".config", ".c", ".h", ".py", ".toml", ".2"}
KERNEL_NAMES = {"Makefile", "config"}


class BuildPackage(build_py):
    """Add kernel/ to the package. An editable installation uses the one of the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "vmabench" / "kernel"
        # A build directory is used again: a patch that was removed must not stay in it.
        shutil.rmtree(target, ignore_errors=True)
        for path in sorted(Path("kernel").rglob("*")):
            if path.is_file() and (path.suffix in KERNEL_FILES or path.name in KERNEL_NAMES):
                copy = target / path.relative_to("kernel")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


class BuildCore(build_ext):
    """Build the program vmabench-source beside the extension module."""

    def run(self) -> None:
        super().run()
        build = runpy.run_path(f"{NATIVE}/build_ffi.py")
        where = Path(NATIVE if self.inplace else f"{self.build_lib}/vmabench/native")
        where.mkdir(parents=True, exist_ok=True)
        # Written beside its place and renamed: a running program cannot be written to.
        unfinished = where / "vmabench-source.new"
        compiler = shlex.split(os.environ.get("CC", "gcc"))
        command = [*compiler, *build["COMMON_FLAGS"], *build["PROGRAM_SOURCES"]]
        command += ["-o", str(unfinished)]
        # A static program has the smallest address space; not every system has a static libc.
        static = [] if os.environ.get("VMABENCH_SANITIZE") else [[*command, "-static"]]
        for attempt in [*static, command]:
            error = compile_error(attempt)
            if not error:
                break
        else:
            sys.exit(f"cannot build vmabench-source: {error}")
        unfinished.rename(where / "vmabench-source")


def compile_error(command: list[str]) -> str:
    """Run the compiler; return its messages if it fails, else nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{command[0]}: {error.strerror} (install gcc, or set CC)"
    if done.returncode == 0:
        sys.stderr.write(done.stderr)  # warnings
        return ""
    return done.stderr.strip() or f"{command[0]} ended with status {done.returncode}"


setup(
    cffi_modules=[f"{NATIVE}/build_ffi.py:ffibuilder"],
    cmdclass={"build_ext": BuildCore, "build_py": BuildPackage},
    # cffi builds the module against the stable ABI: one wheel serves 3.11 and all later versions.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
