# SPDX-License-Identifier: GPL-2.0-only
"""Nothing needs the machine at import time: a module that does takes all other tests with it."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent

COLLECT = """
import importlib, pkgutil, sys, pytest, vmabench
for module in pkgutil.walk_packages(vmabench.__path__, "vmabench."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "tests"]))
"""


def test_every_module_is_imported_without_any_program(tmp_path: Path) -> None:
    """No QEMU, gcc or git, and no home directory: of the package and of the tests."""
    home = tmp_path / "home"
    env = {name: text for name, text in os.environ.items() if not name.startswith("VMABENCH_")}
    env |= {"PATH": "", "HOME": str(home), "XDG_CACHE_HOME": str(home), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COLLECT],
        env=env,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    for module in TESTS.glob("test_*.py"):
        assert f"tests/{module.name}::" in done.stdout, module.name
    assert not list(home.rglob("vmabench*"))  # matplotlib keeps its fonts there
