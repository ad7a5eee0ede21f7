# SPDX-License-Identifier: GPL-2.0-only
"""What pyproject.toml has no words for: the cffi module and the program of the source."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

NATIVE = "bench/vmabench/native"


class BuildCore(build_ext):
    """Builds vmabench-source beside the extension module."""

    def run(self) -> None:
        super().run()
        build = runpy.run_path(f"{NATIVE}/build_ffi.py")
        where = Path(NATIVE if self.inplace else f"{self.build_lib}/vmabench/native")
        where.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC", "gcc").split()
        command = [*compiler, *build["COMMON_FLAGS"], *build["PROGRAM_SOURCES"]]
        # Written beside its place and renamed: a program that runs can't be written to.
        unfinished = where / "vmabench-source.new"
        # A static program has the smallest address space; not every system has a static libc.
        static = [] if os.environ.get("VMABENCH_SANITIZE") else ["-static"]
        for flags in (static, []):
            built = subprocess.run([*command, *flags, "-o", str(unfinished)], check=False)
            if built.returncode == 0:
                unfinished.rename(where / "vmabench-source")
                return
        sys.exit("vmabench-source could not be built: is a C compiler installed?")


setup(cffi_modules=[f"{NATIVE}/build_ffi.py:ffibuilder"], cmdclass={"build_ext": BuildCore})
