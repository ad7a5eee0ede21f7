# SPDX-License-Identifier: GPL-2.0-only
"""The layers are one-way: a module imports from its own layer or from one before it."""

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vmabench
from tests import synthetic

PACKAGE = Path(vmabench.__file__).parent

#: from the ground up; guest stands beside runner
LAYERS = (
    ("__init__", "errors", "units", "atomic", "signals", "streams"),
    ("machine",),
    ("matrix",),
    ("native",),
    ("mechanisms",),
    ("runner", "guest"),
    ("probe", "program", "pyperf"),
    ("store",),
    ("analysis",),
    ("report",),
    ("api",),
    ("commands",),
    ("cli", "__main__"),
)
#: exports names of upper layers and imports each on first use; at its top it imports for types only
DOOR = "__init__"
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

#: Heavy imports, and the only layers that may make them.
HEAVY = {"pandas": "analysis", "matplotlib": "report", "rich": "api"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            if node.module == "vmabench":
                yield from (f"vmabench.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path: Path) -> None:
    own = LEVEL[top(path)]
    if top(path) == DOOR:
        assert imported(path, ()) <= {"importlib", "typing"}
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "vmabench" and len(parts) > 1 and parts[1] in LEVEL:
            assert LEVEL[parts[1]] <= own, f"{path} imports {name}, which lies above it"
        if parts[0] in HEAVY:
            assert own >= LEVEL[HEAVY[parts[0]]], f"{path} imports {name}"


def test_only_the_door_imports_the_core() -> None:
    users = {
        top(path) for path in modules() for name in imports(path) if name.endswith("native._core")
    }
    assert users == {"mechanisms"}


@pytest.mark.parametrize(
    ("script", "absent"),
    [
        ("from vmabench.cli import main; main(['report', 'result', '-o', 'report'])", "scipy"),
        ("import vmabench.commands.compare, vmabench.analysis.compare", "scipy.stats"),
    ],
    ids=["report", "compare"],
)
def test_a_command_imports_only_what_it_needs(script: str, absent: str) -> None:
    """scipy takes a second, as long as the rest of a report."""
    synthetic.write(Path("result"), synthetic.records(synthetic.cases(("fork", "readv")), rounds=6))
    code = f"import sys; {script}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_line_stays_in_cli() -> None:
    """The modules below take typed arguments; pyperf's parser is pyperf's own."""
    for path in modules():
        if top(path) not in ("cli", "pyperf"):
            words = set(re.findall(r"\w+", path.read_text()))
            assert not {"argparse", "Namespace"} & words, path


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports inside functions count: they hide a circle. Imports for types do not: none runs."""
    known = {name_of(path): path for path in modules() if top(path) != DOOR}
    graph = {name: imported(path, known) & known.keys() for name, path in known.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def imported(path: Path, known: Collection[str]) -> set[str]:
    """Return the modules that one imports: ``from a import b`` is a.b where that is a module."""
    found = set()
    tree = ast.parse(path.read_text())
    for block in [node for node in tree.body if isinstance(node, ast.If)]:
        if ast.unparse(block.test) == "TYPE_CHECKING":
            tree.body.remove(block)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in names}
    return found


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(("vmabench", *(part for part in parts if part != "__init__")))


def test_every_module_has_a_layer() -> None:
    assert {top(path) for path in modules()} <= set(LEVEL)
