# SPDX-License-Identifier: GPL-2.0-only
"""``run --guest --against``: two kernels in turns. The guests here leave made-up results.

tests/test_guest_functions.py has real ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vmabench as vb
from tests import synthetic
from tests.command import call, error_line, plan_of
from vmabench import guest
from vmabench.api.detection import MOST_UNASKED
from vmabench.cli import main
from vmabench.errors import LostGuest, UsageError
from vmabench.guest import against, functions
from vmabench.guest.splats import Splat
from vmabench.matrix.case import Case
from vmabench.matrix.plans import load_plan
from vmabench.report.build import Report
from vmabench.store.boots import boots_of
from vmabench.store.reader import read

SMOKE = [
    Case(name, "transfer", "4K", size, source="rewritten")
    for name in ("readv", "fork")
    for size in (65536, 1 << 20)
]
CASES = [Case("readv", "transfer", "4K", 65536), Case("fork", "transfer", "4K", 65536)]
RUN = ["run", "smoke", "--guest", "--against", "base", "-o", "out", "--seed", "7"]
CONFIG = 'CONFIG_CC_VERSION_TEXT="gcc 12"\nCONFIG_SMP=y\n'


def made_kernel(name: str, config: str = CONFIG, compiler: str = "gcc 12") -> guest.Kernel:
    directory = Path(name)
    directory.mkdir(exist_ok=True)
    (directory / "config").write_text(config)
    return guest.Kernel(
        directory / "bzImage",
        directory / "config",
        name,
        "bench",
        f"6.12.0-{name}",
        compiler,
        "sha",
    )


class Guests:
    """Boots one after the other; ``fate`` has what a boot of that number raises, or its splats."""

    def __init__(self) -> None:
        self.other = made_kernel("other")
        self.own = made_kernel("own", CONFIG + "CONFIG_PROCESS_VM_MMAP=y\n")
        self.commands: list[Sequence[str]] = []
        self.kernels: list[str] = []
        self.machines: list[guest.Machine] = []
        self.plans: list[Any] = []
        self.fate: dict[int, BaseException | tuple[Splat, ...]] = {}
        self.slower: dict[str, float] = {}
        self.clock = "raw"
        self.built: list[guest.Spec] = []

    def build(self, _: str, *, kernel: guest.Spec, **__: Any) -> guest.Kernel:
        self.built.append(kernel)
        return self.other if len(self.built) % 2 else self.own

    def run(
        self, command: Sequence[str], kernel: guest.Kernel, *, machine: guest.Machine, **_: Any
    ) -> guest.Outcome:
        self.commands.append(command)
        self.kernels.append(kernel.key)
        self.machines.append(machine)
        self.plans.append(load_plan(plan_of(command)))
        directory = Path(command[command.index("-o") + 1])
        self.leave_result(directory, kernel)
        fate = self.fate.get(len(self.commands), ())
        if isinstance(fate, BaseException):
            raise fate
        return guest.Outcome(0, "", "", "", "tcg", 1.0, fate)

    def leave_result(self, directory: Path, kernel: guest.Kernel) -> None:
        made = synthetic.records(CASES, rounds=2, seed=len(self.commands), noise=0.001)
        made[0] |= {"kernel": kernel.release, "virt": "emulated", "clock": self.clock}
        for record in made:
            for value in record.get("values", ()):
                factor = self.slower.get(kernel.key, 1.0)
                value["time_ns"] = {n: round(factor * t) for n, t in value["time_ns"].items()}
        synthetic.write(directory, made)


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch, own_lock: None) -> Guests:
    made = Guests()
    monkeypatch.setattr(guest, "build", made.build)
    monkeypatch.setattr(guest, "choose", lambda *_: "tcg")
    monkeypatch.setattr(guest, "run", made.run)
    monkeypatch.setattr(functions, "why_not", lambda: "QEMU 99")
    return made


@pytest.fixture
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that reads none: a report takes longer than everything else here."""
    monkeypatch.setattr(Report, "write", lambda *_: ())


def test_boots_take_turns_and_each_result_has_its_own(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    guests.slower = {"own": 1.2}
    assert main([*RUN, "--boots", "4"]) in (0, 2)
    assert guests.kernels == ["other", "own", "own", "other", "other", "own", "own", "other"]
    seeds = [command[command.index("--seed") + 1] for command in guests.commands]
    assert seeds == ["7", "7", "8", "8", "9", "9", "10", "10"]
    a, b = read("out/A"), read("out/B")
    assert [record["boot"] for record in boots_of(a)] == [1, 4, 5, 8]
    assert [record["boot"] for record in boots_of(b)] == [2, 3, 6, 7]
    assert (a.header["kernel"], b.header["kernel"]) == ("6.12.0-other", "6.12.0-own")
    assert a.complete
    assert b.complete
    assert Path("out/B/report/report.txt").exists()
    out = capfd.readouterr().out
    assert "boot 8 of 8: A, kernel 6.12.0-other" in out
    assert "boots in the order A B B A A B B A" in out
    assert "2 slower, 0 faster" in out
    assert "results  out/A out/B" in out
    assert not list(Path("out").glob(".boot*"))


@pytest.mark.usefixtures("no_reports")
def test_the_plan_is_divided_among_the_boots(guests: Guests) -> None:
    main([*RUN, "--boots", "2", "--budget", "80s", "--mechanism", "readv", "--size", "64K"])
    (plan, *others) = guests.plans
    assert plan.budget_s == 40
    assert plan.rounds == 1  # of the two that the plan wants
    assert all(sweep.mechanism == ("readv",) for sweep in plan.sweeps)
    assert len(others) == 3
    assert all(other == plan for other in others)
    shares = [machine.shares[0] for machine in guests.machines]
    assert all(share.name.startswith(".boot-") for share in shares)


@pytest.mark.usefixtures("no_reports")
def test_counts_repeat_themselves_so_each_boot_has_all_rounds(guests: Guests) -> None:
    guests.clock = "instructions"
    assert main([*RUN, "--clock", "instructions"]) == 0
    assert [plan.rounds for plan in guests.plans] == [2] * 4
    assert {machine.clock for machine in guests.machines} == {"instructions"}


@pytest.mark.usefixtures("no_reports")
def test_boots_are_chosen_by_an_assumption_before_the_first_one(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    main(RUN)
    said = capfd.readouterr().out
    boots = len(guests.kernels) // 2
    assert 3 <= boots <= MOST_UNASKED
    assert said.startswith(f"{boots} boots of each, for a change of 5 %, assuming that boots vary")
    assert said.index("boots of each") < said.index("boot 1 of")


@pytest.mark.usefixtures("no_reports")
def test_boots_are_chosen_by_a_stored_comparison(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    """A stored result of boots that vary by 3 % asks for more of them than the assumption."""
    made = synthetic.in_boots(
        synthetic.records(SMOKE, rounds=6, noise=0.03, round_noise=0.0), range(1, 7)
    )
    stored = synthetic.write(Path("results/guest-tcg/6.12.0/20260101T000000Z/B"), made)
    (stored / "plan.toml").write_text('name = "smoke"\n')
    main([*RUN, "--detect", "10%"])
    few = len(guests.kernels) // 2
    assert f"for a change of 10 %, by {stored}" in capfd.readouterr().out
    guests.kernels.clear()
    main([*RUN[:-3], "more", "--seed", "7", "--detect", "6%"])
    assert 3 < few < len(guests.kernels) // 2


def test_a_change_that_no_number_of_boots_shows_is_refused(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--detect", "2.001%"]) == 1
    assert "2 % takes more than 99 boots of each, assuming" in capfd.readouterr().err
    assert not guests.kernels


@pytest.mark.usefixtures("no_reports")
def test_a_lost_boot_is_named_and_the_others_go_on(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    guests.fate = {3: LostGuest("the guest is lost: no end after 5 s", "tail")}
    assert main([*RUN, "--boots", "2"]) == 2
    assert len(guests.kernels) == 4
    lost = boots_of(read("out/B"))[-1]
    assert (lost["boot"], lost["status"]) == (3, "lost")
    assert {record["boot"] for record in read("out/B").of_kind("case")} == {2}
    said = capfd.readouterr()
    assert "boot 3 of 4 (B) is lost and left out: the guest is lost: no end after 5 s" in said.err
    assert "1 of 4 boots were lost" in said.err
    assert "boot 3 was lost" in said.out


@pytest.mark.usefixtures("no_reports")
def test_python_gets_both_results_and_the_comparison_of_their_frames(guests: Guests) -> None:
    guests.slower = {"own": 1.2}
    a, b = vb.run_against("smoke", a="base", boots=4, seed=7, output="out")
    assert [a.path, b.path] == [Path("out/A").resolve(), Path("out/B").resolve()]
    assert guests.kernels[:4] == ["other", "own", "own", "other"]
    compared = vb.compare(a.frame(), b.frame())
    assert set(compared["sample"]) == {"boot"}
    assert "slower" in set(compared["verdict"])


@pytest.mark.usefixtures("no_reports")
def test_python_is_told_where_an_interrupted_contest_is(guests: Guests) -> None:
    guests.fate = {3: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt, match=r"what was measured is in .*out"):
        vb.run_against("smoke", boots=5, output="out")
    assert read("out/B").of_kind("end")[0]["status"] == "interrupted"


@pytest.mark.usefixtures("no_reports")
def test_a_boot_whose_kernel_complained_is_lost_too(guests: Guests) -> None:
    guests.fate = {1: (Splat(7, "BUG: bad", "BUG: bad\nCall Trace:"),)}
    assert main([*RUN, "--boots", "2"]) == 2
    assert "its kernel complained: BUG: bad" in boots_of(read("out/A"))[0]["reason"]


@pytest.mark.usefixtures("no_reports")
def test_a_kernel_that_never_boots_is_an_error(
    guests: Guests, capfd: pytest.CaptureFixture[str]
) -> None:
    guests.fate = {number: LostGuest("the guest is lost: panic", "") for number in (1, 4)}
    assert main([*RUN, "--boots", "2"]) == 1
    assert "no boot of A left a result" in capfd.readouterr().err
    assert read("out/B").complete


@pytest.mark.usefixtures("no_reports")
def test_an_interruption_keeps_what_is_whole(guests: Guests) -> None:
    guests.fate = {3: KeyboardInterrupt()}
    assert main([*RUN, "--boots", "5"]) == 130
    assert len(guests.kernels) == 3
    a, b = read("out/A"), read("out/B")
    assert not a.complete
    assert [(r["boot"], r["status"]) for r in boots_of(b)] == [(2, "done"), (3, "interrupted")]
    assert len(b.of_kind("round")) == 4
    assert a.of_kind("end")[0]["status"] == "interrupted"


def test_an_interruption_before_anything_is_whole(guests: Guests) -> None:
    guests.fate = {1: KeyboardInterrupt()}
    guests.leave_result = lambda *_: None  # type: ignore[method-assign]
    assert main(RUN) == 130
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("config", "compiler", "words"),
    [
        (CONFIG + "CONFIG_KASAN=y\n", "gcc 12", "CONFIG_KASAN is y and n"),
        (CONFIG.replace("SMP=y", "SMP=n"), "gcc 12", "CONFIG_SMP is n and y"),
        (CONFIG, "clang 19", "the compiler is clang 19 and gcc 12"),
    ],
)
def test_kernels_that_differ_in_more_are_refused(
    guests: Guests, config: str, compiler: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    guests.other = made_kernel("other", config, compiler)
    assert main(RUN) == 1
    said = capfd.readouterr().err
    assert "A and B differ in more than their sources" in said
    assert words in said
    assert not guests.kernels
    assert not Path("out").exists()


def test_the_option_of_the_series_is_no_difference(guests: Guests) -> None:
    assert against.differences(guests.other, guests.own) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--against", "base"], "--against goes with --guest only"),
        (["run", "--guest", "--boots", "3"], "--boots goes with --against or --each only"),
        (["run", "--guest", "--detect", "3%"], "--detect goes with --against only"),
        (["run", "--guest", "--against", "base", "--detect", "0%"], "no percentage above 0"),
        (
            ["run", "--guest", "--against", "base", "--detect", "3%", "--boots", "3"],
            "leave out --boots",
        ),
        (["run", "--guest", "--against", "base", "--boots", "0"], "--boots 0: 1 to 99"),
        (["run", "moke", "--guest", "--against", "base"], "did you mean smoke"),
        (["compare", "a", "b", "--paths", "c", "d"], "a is no directory"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: str) -> None:
    assert words in error_line(call(*arguments))


@pytest.mark.parametrize(
    ("name", "own", "wanted"),
    [
        ("base", guest.Spec(), guest.Spec(None, "none")),
        ("base", guest.Spec("7.3", "v2"), guest.Spec("7.3", "none")),
        ("base", guest.Spec("linux", "A..B"), guest.Spec("linux@A", "none")),
        ("7.3", guest.Spec(), guest.Spec("7.3", "none", "--against")),
        ("linux@v7.3", guest.Spec(), guest.Spec("linux@v7.3", "none", "--against")),
        ("tree", guest.Spec("7.3"), guest.Spec("tree", "none", "--against")),
        ("v1", guest.Spec("7.3"), guest.Spec("7.3", "v1")),
        ("v2", guest.Spec(), guest.Spec(None, "v2")),
        ("v3", guest.Spec("linux", "A..B"), guest.Spec("linux@A", "v3")),
    ],
)
def test_names_of_the_other_kernel(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    own: guest.Spec,
    wanted: guest.Spec,
) -> None:
    monkeypatch.chdir(tmp_path)
    for directory in ("v1", "v2/patches", "v3/kernel/patches", "tree"):
        (tmp_path / directory).mkdir(parents=True)
        if directory != "tree":
            (tmp_path / directory / "0001-a.patch").write_text("")
    assert against.spec_of(name, own) == wanted


@pytest.mark.usefixtures("no_reports")
def test_both_kernels_are_built_as_they_are_named(guests: Guests) -> None:
    line = ["run", "smoke", "--guest", "--kernel", "7.3", "--series", "none", "-o", "out"]
    main([*line, "--against", "6.1", "--boots", "1"])
    assert guests.built == [guest.Spec("6.1", "none", "--against"), guest.Spec("7.3", "none")]


@pytest.mark.usefixtures("no_reports")
def test_python_names_both_kernels(guests: Guests) -> None:
    vb.run_against("smoke", a="6.1", b="7.3", boots=2, output="out")
    assert guests.built == [guest.Spec("6.1", "none", "--against"), guest.Spec("7.3")]
    with pytest.raises(UsageError, match="are both kernel B"):
        vb.run_against("smoke", b="7.3", guest=vb.Guest(kernel="6.1"))


def test_two_versions_differ_in_what_was_asked_for_alone() -> None:
    config = CONFIG + "CONFIG_KSM=y\nCONFIG_LRU_GEN_STATS=y\n"
    old, new = made_kernel("old", config), made_kernel("new", config.replace("=y", "=n"))
    old, new = replace(old, release="6.12.1"), replace(new, release="7.3.4")
    assert against.differences(old, new) == ["CONFIG_KSM is y and n", "CONFIG_SMP is y and n"]
    made_kernel("new", CONFIG + "CONFIG_LRU_GEN_STATS=n\n")
    assert against.differences(old, new) == [], "KSM: an option that one version does not have"
