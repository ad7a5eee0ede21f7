# SPDX-License-Identifier: GPL-2.0-only
"""Builds the C core twice: as the cffi module and as the program of the source process."""

import os
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]

COMMON_FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-fno-strict-aliasing", "-pthread"]
if os.environ.get("VMABENCH_SANITIZE"):
    COMMON_FLAGS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]

#: what both sides share; source.c is the main() of the program alone
SHARED_SOURCES = sorted(
    str(path.relative_to(ROOT))
    for path in HERE.glob("*.c")
    if path.name not in ("source.c", "_core.c")
)
PROGRAM_SOURCES = [*SHARED_SOURCES, str((HERE / "source.c").relative_to(ROOT))]
HEADERS = [str(path.relative_to(ROOT)) for path in HERE.glob("*.h")]
HEADERS.append("kernel/uapi/process_vm_mmap.h")

ffibuilder = FFI()
ffibuilder.cdef((HERE / "core.cdef.h").read_text())
ffibuilder.set_source(
    "vmabench.native._core",
    '#include "core.h"',
    sources=SHARED_SOURCES,
    depends=HEADERS,
    include_dirs=[str(HERE)],
    extra_compile_args=COMMON_FLAGS,
    extra_link_args=[flag for flag in COMMON_FLAGS if flag.startswith("-fsanitize")],
)
