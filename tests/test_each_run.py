# SPDX-License-Identifier: GPL-2.0-only
"""``run --each``: the kernels of a range of commits. The guests here leave made-up results."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import synthetic
from tests.command import plan_of
from tests.test_commits import commit, git
from tests.test_each import of_case
from vmabench import guest
from vmabench.cli import main
from vmabench.errors import KernelBuildError, LostGuest, UsageError
from vmabench.guest import functions
from vmabench.guest.splats import Splat
from vmabench.matrix.case import Case
from vmabench.matrix.plans import load_plan
from vmabench.runner.lock import only_run
from vmabench.store.boots import boots_of
from vmabench.store.format import Record
from vmabench.store.reader import read

READV = Case("readv", "transfer", "4K", 65536)
FORK = Case("fork", "transfer", "4K", 65536)
RUN = ["run", "smoke", "--guest", "--clock", "instructions", "-o", "out", "--seed", "7"]
SUBJECTS = ("mm: one", "mm: drain before reading", "mm: three")


class Guests:
    """Kernels by the subject of their commit.

    ``counts`` are instructions of readv, ``broken`` the error of a build, ``fate`` what a boot of
    that number raises, or its splats.
    """

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.built: list[str] = []
        self.booted: list[str] = []
        self.seeds: list[str] = []
        self.streamed: set[bool] = set()
        self.counts: dict[str, float] = {}
        self.broken: dict[str, BaseException] = {}
        self.fate: dict[int, BaseException | tuple[Splat, ...]] = {}
        self.failing = ""

    def build(self, _flavour: str, *, kernel: guest.Spec, **_: Any) -> guest.Kernel:
        assert kernel.series == "none"
        assert str(kernel.kernel).startswith(f"{self.tree}@")
        sha = str(kernel.kernel).rpartition("@")[2]
        subject = git(self.tree, "log", "-1", "--format=%s", sha)
        self.built.append(subject)
        if subject in self.broken:
            raise self.broken[subject]
        return guest.Kernel(Path("bzImage"), Path("config"), subject, "bench", "6.12.0", "gcc", "")

    def run(
        self, command: Sequence[str], kernel: guest.Kernel, *, stream: bool, **_: Any
    ) -> guest.Outcome:
        self.booted.append(kernel.key)
        self.seeds.append(command[command.index("--seed") + 1])
        self.streamed.add(stream)
        assert load_plan(plan_of(command)).rounds == 2
        fate = self.fate.get(len(self.booted), ())
        if isinstance(fate, LostGuest):
            raise fate
        self.leave_result(Path(command[command.index("-o") + 1]), kernel.key)
        if isinstance(fate, BaseException):
            raise fate
        status = 1 if kernel.key == self.failing else 0
        return guest.Outcome(status, "", "no room", "", "tcg", 1.0, fate)

    def leave_result(self, directory: Path, subject: str) -> None:
        header = {"clock": "instructions", "virt": "emulated", "run": f"{len(self.booted):032}"}
        made: list[Record] = [synthetic.HEADER | header]
        for round_ in (1, 2):
            made.append(of_case(READV, round_, self.counts.get(subject, 1000.0)))
            made.append(of_case(FORK, round_, 5000.0))
            made.append(synthetic.round_record(round_))
        synthetic.write(directory, [*made, {"kind": "end", "status": "done", "rounds": 2}])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    directory = tmp_path / "linux"
    directory.mkdir()
    git(directory, "init", "-q")
    for subject in ("Linux 6.12", *SUBJECTS):
        commit(directory, subject)
    git(directory, "tag", "base", "HEAD~3")
    return directory


@pytest.fixture
def guests(tree: Path, monkeypatch: pytest.MonkeyPatch, own_lock: None) -> Guests:
    made = Guests(tree)
    monkeypatch.setattr(guest, "build", made.build)
    monkeypatch.setattr(guest, "run", made.run)
    monkeypatch.setattr(functions, "why_not", lambda: "QEMU 99")
    return made


def each(guests: Guests, *options: str, span: str = "base..HEAD") -> int:
    return main([*RUN, "--kernel", str(guests.tree), "--each", span, *options])


def drained(guests: Guests) -> Guests:
    """The second patch and all after it have a longer readv."""
    guests.counts = dict.fromkeys(SUBJECTS[1:], 1100.0)
    return guests


def test_a_changed_path_is_named_with_its_patch_and_confirmed_by_a_second_boot(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    assert each(drained(guests)) == 0
    assert guests.built == ["Linux 6.12", *SUBJECTS]
    one, two, three = SUBJECTS
    assert guests.booted == ["Linux 6.12", one, two, one, two, three]
    assert guests.seeds == ["7", "7", "7", "8", "8", "7"]
    said = capfd.readouterr()
    assert "1 patch of 3: 1 path longer" in said.out
    section = said.out[said.out.index("0002 ") :]
    assert section.splitlines()[2].split() == [
        "readv/transfer/4K/64K", "total", "1,000", "1,100", "+10.00%", "longer"
    ]  # fmt: skip
    assert re.search(r"paths that differ from \w+: 1; booting both again", said.err)
    assert guests.streamed == {False}


def test_each_commit_has_a_result_of_its_own(guests: Guests) -> None:
    each(drained(guests))
    names = sorted(path.name for path in Path("out").iterdir() if path.is_dir())
    assert names == ["0000-base", "0001-mm-one", "0002-mm-drain-before-reading", "0003-mm-three"]
    results = [read(Path("out") / name) for name in names]
    assert all(result.complete for result in results)
    assert [[boot["boot"] for boot in boots_of(one)] for one in results] == [
        [1],
        [2, 4],
        [3, 5],
        [6],
    ]
    assert main(["report", "out/0002-mm-drain-before-reading"]) == 0
    assert main(["compare", "out/0001-mm-one", "out/0002-mm-drain-before-reading"]) == 0
    (stored,) = json.loads(Path("out/report.json").read_text())
    assert stored["summary"] == "1 patch of 3: 1 path longer"
    assert "0002 " in Path("out/report.txt").read_text()


def test_the_number_of_boots_can_be_chosen(guests: Guests) -> None:
    each(drained(guests), "--boots", "2")
    assert guests.booted == [name for name in ("Linux 6.12", *SUBJECTS) for _ in range(2)]


def test_json_is_alone_on_standard_output(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    assert each(drained(guests), "--format", "json") == 0
    (found,) = json.loads(capfd.readouterr().out)
    assert (found["tool"], found["status"]) == ("vmabench", "warn")
    assert [path["number"] for path in found["paths"]] == [2]
    assert found["command"].startswith("vmabench run smoke --guest --kernel")
    assert "--each base..HEAD --clock instructions --seed 7" in found["command"]


def test_robot_lines_are_alone_on_standard_output(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    each(drained(guests), "--format", "robot")
    kinds = [line.split("\t")[0] for line in capfd.readouterr().out.splitlines()]
    assert kinds == ["base", "patch", "patch", "path", "patch", "series"]


def test_fail_on_judges_the_series_as_it_judges_a_comparison(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    assert each(drained(guests), "--fail-on", "slower", "--format", "json") == 3
    said = capfd.readouterr()
    assert json.loads(said.out)[0]["status"] == "fail"
    assert "--fail-on: 1 slower" in said.err


def test_a_series_without_a_change_passes(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    assert each(guests, "--fail-on", "slower,failed", "--format", "json") == 0
    assert json.loads(capfd.readouterr().out)[0]["status"] == "pass"
    assert len(guests.booted) == 4


def test_a_commit_that_does_not_build_is_named_and_the_series_goes_on(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    error = "the build failed: mm/gup.c:12:2: error: 'x' undeclared (see log)"
    guests.broken = {SUBJECTS[1]: KernelBuildError(error)}
    assert each(drained(guests)) == 2
    said = capfd.readouterr().out
    assert f"mm: drain before reading: not measured: does not build: {error}" in said
    heading = said[said.index("0003 ") :].splitlines()
    assert heading[0].endswith("mm: three")
    assert heading[1].strip().startswith("or 0002 ")
    assert each_again(guests, "--fail-on", "failed") == 3


def each_again(guests: Guests, *options: str) -> int:
    line = [word if word != "out" else "again" for word in RUN]
    return main([*line, "--kernel", str(guests.tree), "--each", "base..HEAD", *options])


@pytest.mark.parametrize("fate", ["lost", "splat", "nothing"])
def test_a_kernel_that_is_lost_is_named_and_the_series_goes_on(
    guests: Guests, fate: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It hangs, complains, or fails the plan."""
    splat = Splat(1, "BUG: scheduling", "BUG: scheduling\n")
    if fate == "nothing":
        guests.failing = SUBJECTS[0]
    else:
        guests.fate = {2: LostGuest("no end after 5 s") if fate == "lost" else (splat,)}
    assert each(drained(guests)) == 2
    said = capfd.readouterr().out
    reason = {"lost": "no end after 5 s", "splat": "its kernel complained", "nothing": "no room"}
    assert re.search(rf"0001 \w+ mm: one: not measured: .*{reason[fate]}", said)
    assert "or 0001" in said[said.index("0002 ") :]
    assert not Path("out/0001-mm-one").exists()


def test_a_base_that_does_not_build_is_an_error(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    guests.broken = {"Linux 6.12": KernelBuildError("the build failed: x")}
    assert each(guests) == 1
    assert "the build failed: x" in capfd.readouterr().err
    assert not guests.booted
    assert not Path("out").exists()


def test_an_interrupt_keeps_the_report_and_says_where_to_go_on(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    guests.fate = {6: KeyboardInterrupt()}
    assert each(drained(guests)) == 130
    said = capfd.readouterr()
    assert "1 path longer" in said.out
    last = git(guests.tree, "rev-parse", "HEAD~1")[:12]
    end = git(guests.tree, "rev-parse", "HEAD")[:12]
    assert "Go on with: vmabench run smoke --guest" in said.err
    assert f"--each {last}..{end}" in said.err
    assert read("out/0002-mm-drain-before-reading").complete
    assert not read("out/0003-mm-three").complete


def test_an_error_after_the_first_results_comes_after_the_report(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    guests.broken = {SUBJECTS[2]: UsageError("the disk is full")}
    assert each(drained(guests)) == 1
    said = capfd.readouterr()
    assert "1 path longer" in said.out
    assert said.err.rstrip().endswith("the disk is full")
    assert "Go on with" in said.err


def test_another_run_is_an_error_before_the_first_build(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    """The machine is locked for the whole series, so no other run can come between two boots."""
    with only_run():
        assert each(guests) == 1
    assert "another run is measuring" in capfd.readouterr().err
    assert not guests.built
    assert not Path("out").exists()


def test_an_interrupt_before_the_first_result_reports_nothing(guests: Guests) -> None:
    guests.broken = {"Linux 6.12": KeyboardInterrupt()}
    assert each(guests) == 130


FORM = "vmabench run paths --guest --kernel GITDIR --each A..B --clock instructions"


@pytest.mark.parametrize(
    "options",
    [
        ["--each", "a..b"],
        ["--each", ""],
        ["--guest", "--each", "a..b", "--clock", "instructions"],
        ["--guest", "--kernel", "x", "--each", "a..b"],
        ["--kernel", "x", "--each", "a..b", "--guest", "--clock", "instructions", "--series", "x"],
        ["--kernel", "x", "--each", "a..b", "--guest", "--clock", "instructions", "--against", "x"],
        ["--kernel", "x", "--each", "a..b", "--guest", "--clock", "instructions", "--samples-only"],
    ],
)
def test_an_error_of_usage_names_the_right_form(
    options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *options]) == 1
    assert capfd.readouterr().err.endswith(f"{FORM}\n")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--format", "json"], "--format and --fail-on of run go with --each only"),
        (["--fail-on", "slower"], "--format and --fail-on of run go with --each only"),
    ],
)
def test_options_of_each_go_with_it_alone(
    options: list[str], error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *options]) == 1
    assert error in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "span", "error"),
    [
        (["--boots", "0"], "base..HEAD", "--boots 0: 1 to 99 of each kernel"),
        ([], "HEAD..base", "is reversed: write base..HEAD"),
        (["--cpus", "2"], "base..HEAD", "--cpus 1"),
    ],
)
def test_a_wrong_option_costs_no_build(
    guests: Guests,
    options: list[str],
    span: str,
    error: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert each(guests, *options, span=span) == 1
    assert error in capfd.readouterr().err
    assert not guests.built
    assert not Path("out").exists()
