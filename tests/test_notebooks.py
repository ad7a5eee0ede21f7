# SPDX-License-Identifier: GPL-2.0-only
"""The notebooks: they import vmabench alone, hold no code of their own and no output, and run."""

import ast
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NAMES = (
    "01-first-look", "02-page-sizes-and-thp", "03-crossover", "04-swap-and-page-server",
    "05-compare-two-kernels",
)  # fmt: skip

#: an analysis in a notebook, where no test looks at it
_OWN_CODE = (
    ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.ListComp,
    ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.BinOp,
)  # fmt: skip

LIMIT_S = 60.0


def notebook(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)  # type: ignore[no-untyped-call]


def code(name: str) -> Iterator[str]:
    for cell in notebook(name).cells:
        if cell.cell_type == "code":
            yield "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))


def test_these_are_all() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_no_output_is_stored(name: str) -> None:
    found = notebook(name)
    nbformat.validate(found)
    assert found.cells[0].source.startswith("# ")
    assert "?**" in found.cells[0].source  # the question that it answers
    assert set(found.metadata) == {"kernelspec", "language_info"}
    for cell in found.cells:
        assert not cell.metadata
        assert cell.source.strip()
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.parametrize("name", NAMES)
def test_everything_comes_from_the_package(name: str) -> None:
    for source in code(name):
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, _OWN_CODE), ast.unparse(node)
            if isinstance(node, ast.Import):
                assert all(alias.name == "vmabench" for alias in node.names)
            assert not isinstance(node, ast.ImportFrom)
            assert not (isinstance(node, ast.Name) and node.id == "print")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Each notebook with its outputs, and under ``cpu_s`` the seconds that all of them took."""
    scratch = tmp_path_factory.mktemp("jupyter")
    done: dict[str, Any] = {}
    before = _cpu_s()
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_DATA_DIR"):
            patch.setenv(variable, str(scratch))
        for name in NAMES:
            found = notebook(name)
            place = {"metadata": {"path": str(FOLDER)}}
            NotebookClient(found, timeout=LIMIT_S, kernel_name="python3", resources=place).execute()
            done[name] = found
    return done | {"cpu_s": _cpu_s() - before}


def _cpu_s() -> float:
    """Of the kernels: processes that have ended and been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_cell_shows_something_and_warns_of_nothing(
    executed: dict[str, Any], name: str
) -> None:
    """Slow: five kernels of Jupyter import pandas and matplotlib and read the published results."""
    cells = [cell for cell in executed[name].cells if cell.cell_type == "code"]
    pictures = 0
    for cell in cells:
        assert not [one.text for one in cell.outputs if one.get("name") == "stderr"]
        if not cell.source.splitlines()[-1].startswith((" ", ")")):
            assert cell.outputs, cell.source
        pictures += sum("image/png" in one.get("data", {}) for one in cell.outputs)
    assert pictures


@pytest.mark.slow
def test_all_of_them_take_less_than_a_minute(executed: dict[str, Any]) -> None:
    """CPU time of the kernels that the fixture has run."""
    assert executed["cpu_s"] < LIMIT_S
