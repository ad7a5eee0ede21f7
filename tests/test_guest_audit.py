# SPDX-License-Identifier: GPL-2.0-only
"""The audit: its table is sound, each program gets its own verdict, a lost guest costs one."""

import re
from pathlib import Path

import pytest

from vmabench.cli import main
from vmabench.commands.audit import show, summary, table
from vmabench.errors import LostGuest, UsageError
from vmabench.guest import audit, boot, mutants, programs
from vmabench.guest.cache import Kernel
from vmabench.guest.kbuild import all_patches, project_kernel
from vmabench.guest.plan import Plan, Program, guests, load
from vmabench.guest.qemu import Machine

AUDIT = project_kernel() / "audit"
KERNEL = Kernel(Path("/k/bzImage"), Path("/k/config"), "key", "debug", "6.12", "gcc", "0")
PLAN = Plan(
    tuple(Program(name, (question,)) for name, question in (("one", "A1"), ("two", "A2"))),
    {"standard": Machine()},
)
GOOD = "TAP version 13\n1..1\nok 1 all\n"


def said(name: str, text: str, done: str = "vmabench-audit: done 0 after 7 s\n") -> str:
    return f"vmabench-audit: program {name}\n{text}\n{done}"


def logged(name: str, text: str = "") -> str:
    return f"[    1.0] vmabench-audit: program {name} seed 5\n{text}"


def test_the_table_is_sound() -> None:
    plan = load(AUDIT / "audit.toml")
    of_many_files = re.findall(r"^\$\(OUTPUT\)/(\w+):", (AUDIT / "Makefile").read_text(), re.M)
    for program in plan.programs:
        source = AUDIT.with_name(program.origin) / program.name
        alone = source.with_suffix(".c").exists() or source.with_suffix(".py").exists()
        assert alone or program.name in of_many_files
        assert all((AUDIT / name).with_suffix(".c").exists() for name in program.uses)
        assert set(program.questions) <= {f"A{n}" for n in range(1, 11)}
    assert {f"A{n}" for n in range(1, 11)} <= {  # A11 is of the series on 7.3
        question for program in plan.programs for question in program.questions
    }


def test_every_program_of_the_audit_is_in_the_table() -> None:
    known = {program.name for program in load(AUDIT / "audit.toml").programs}
    mains = {
        path.stem
        for path in (*AUDIT.glob("*.c"), *AUDIT.glob("*.py"))
        if re.search(r"\bmain\(|TEST_HARNESS_MAIN", path.read_text())
    }
    assert mains <= known


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[machine.m]\n[[program]]\nname='a'\nquestions=[]\n", "a wants a machine 'standard'"),
        ("[machine.standard]\n[[program]]\nname='a'\nquestions=[]\nx=1\n", "a: no field x"),
        ("[machine.standard]\n", "program"),
        ("[", "audit.toml"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "audit.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load(tmp_path / "audit.toml")


def test_the_short_form_and_names() -> None:
    long = Program("long", ("A7",), short=False, seeded=True, minutes=0.5, short_s=9)
    plan = Plan((*PLAN.programs, long), PLAN.machines)
    assert plan.chosen((), short=True) == PLAN.programs
    assert plan.chosen((), short=False)[-1] == long
    assert plan.chosen(("long",), short=True) == (long,)
    with pytest.raises(UsageError, match=r"no program 'x' .* one, two, long"):
        plan.chosen(("x",), short=True)
    assert plan.stress_s(long, None) == 9
    assert long.command(Path("/p/long"), 3, plan.stress_s(long, 20)) == (
        ["/p/long", "--seed", "3", "--seconds", "600"]
    )


def test_programs_of_one_machine_share_a_guest() -> None:
    chain = [Program(n, (), machine=m) for n, m in (("a", "x"), ("b", "x"), ("c", "y"))]
    assert [(m, [p.name for p in g]) for m, g in guests(chain)] == [
        ("x", ["a", "b"]),
        ("y", ["c"]),
    ]


def test_the_log_is_attributed() -> None:
    log = "[ 0.5] boots\n" + logged("one") + logged("two", "[ 2.0] BUG: Bad page state x\n")
    verdicts = audit.judge(PLAN.programs, said("one", GOOD) + said("two", GOOD), log, 5)
    assert [v.good for v in verdicts] == [True, False]
    assert [v.seconds for v in verdicts] == [7, 7]
    assert "Bad page state" in verdicts[1].splats[0].text


def test_a_complaint_of_the_boot_is_not_lost() -> None:
    log = "[ 0.5] WARNING: CPU: 0 at boot\n" + logged("one") + logged("two")
    verdicts = audit.judge(PLAN.programs, said("one", GOOD) + said("two", GOOD), log, 5)
    assert [len(v.splats) for v in verdicts] == [1, 0]


def test_a_program_that_ends_early_is_no_success() -> None:
    (verdict,) = audit.judge(PLAN.programs[:1], said("one", "1..2\nok 1 a\n"), logged("one"), 5)
    assert not verdict.good
    assert "1 of 2" in verdict.report.problem


def guest_script(monkeypatch: pytest.MonkeyPatch, outcomes: list[object]) -> list[str]:
    """Guests that end as ``outcomes`` say; the scripts that they were given."""
    scripts: list[str] = []

    def run(command: list[str], *_: object, **__: object) -> object:
        scripts.append(command[2])
        outcome = outcomes[len(scripts) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(boot, "run", run)
    monkeypatch.setattr(
        programs, "build", lambda chosen, *_: {p.name: Path("/p") / p.name for p in chosen}
    )
    return scripts


def outcome(stdout: str, log: str) -> boot.Outcome:
    return boot.Outcome(0, stdout, "", log, "tcg", 1.0, ())


def test_a_lost_guest_names_the_program_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = LostGuest(
        "the guest is lost: Kernel panic - not syncing: x",
        "the last line",
        logged("one", "[ 1.1] Kernel panic - not syncing: x\n"),
        said("one", "1..1\n", done=""),
    )
    scripts = guest_script(monkeypatch, [lost, outcome(said("two", GOOD), logged("two"))])
    told: list[audit.Verdict] = []
    verdicts = audit.run(KERNEL, PLAN, audit.Options(seed=5), told.append)
    assert told == verdicts
    assert [(v.program.name, bool(v.lost), v.good) for v in verdicts] == [
        ("one", True, False),
        ("two", False, True),
    ]
    assert "the last line" in verdicts[0].lost
    assert "program one" in scripts[0]
    assert "program one" not in scripts[1]


def test_a_guest_that_dies_before_the_first_program(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = LostGuest("the guest is lost: it vanished", "", "", "")
    guest_script(monkeypatch, [lost, lost])
    verdicts = audit.run(KERNEL, PLAN, audit.Options(seed=5), lambda _: None)
    assert [bool(v.lost) for v in verdicts] == [True, True]


def test_a_skip_is_said_in_the_summary() -> None:
    skipped = said("two", "1..1\nok 1 a # SKIP no swap\n")
    log = logged("one") + logged("two")
    lines = summary(audit.judge(PLAN.programs, said("one", GOOD) + skipped, log, 5))
    assert lines == [
        "A1   1 passed",
        "A2   0 passed, 1 skipped",
        "passed in 14s of the guests' clocks, 0 reports in the log",
    ]


def test_a_failure_is_said_in_the_summary() -> None:
    bad = said("two", "1..1\nnot ok 1 a\n")
    log = logged("one") + logged("two")
    lines = summary(audit.judge(PLAN.programs, said("one", GOOD) + bad, log, 5))
    assert "A2   FAILED in two" in lines
    assert lines[-1].startswith("FAILED in")


def test_what_was_said_before_a_failure_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    bad = "1..3\n# of the first\nok 1 a\n# seed 7: page 3 holds 0\nnot ok 2 b\n# later\nok 3 c\n"
    (verdict,) = audit.judge(PLAN.programs[1:], said("two", bad), logged("two"), 5)
    show(verdict, verbose=False)
    told = capsys.readouterr().out.splitlines()
    assert "    # seed 7: page 3 holds 0" in told
    assert "    FAILED b" in told
    assert not [line for line in told if "first" in line or "later" in line]


def test_a_table_of_what_they_said() -> None:
    lost = audit.judge(PLAN.programs, said("one", GOOD), logged("one"), 5, "it vanished")
    assert list(table(lost))[2:] == [
        "| one | A1 | 1 | 0 | 0 | 0 | 7 |",
        "| two (**lost**) | A2 | 0 | 0 | 0 | 0 | 0 |",
    ]


def test_every_mutant_says_what_is_wrong_and_what_is_run() -> None:
    found = mutants.find(AUDIT / "mutants")
    assert len(found) >= 8
    known = {program.name for program in load(AUDIT / "audit.toml").programs}
    for mutant in found:
        assert mutant.fault.endswith(".")
        assert mutant.run
        assert set(mutant.run) <= known
    with pytest.raises(UsageError, match="no mutant 'x'"):
        mutants.find(AUDIT / "mutants", ["x"])


def test_every_row_names_mutants_that_its_programs_meet() -> None:
    """AUDIT.md: a row whose tests were never seen to fail says nothing, or that it is open."""
    text = (AUDIT.parent / "AUDIT.md").read_text()
    rows = dict(re.findall(r"^## (A\d+): (.*?)(?=^## )", text, re.MULTILINE | re.DOTALL))
    assert set(rows) == {f"A{n}" for n in range(1, 12)}
    still_open = set(re.findall(r"^- \*\*(A\d+) has no mutant\.\*\*", text, re.MULTILINE))
    known = {mutant.name: mutant for mutant in mutants.find(AUDIT / "mutants")}
    programs_of = load(AUDIT / "audit.toml").programs
    for question, row in rows.items():
        own = {program.name for program in programs_of if question in program.questions}
        named = re.findall(
            r"`([a-z-]+)`", "".join(re.findall(r"\*Seen to fail\*\* on ([^.]*)", row))
        )
        assert bool(named) != (question in still_open), question
        for name in named:
            assert own & set(known[name].run), f"{question}: {name}"


def test_what_catches_a_mutant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "m.patch").write_text("Fault: It is broken.\nRun: one two\n---\n")
    (mutant,) = mutants.find(tmp_path)
    bad = "1..3\nnot ok 1 f.a\nok 2 f.b\nnot ok 3 f.c\n"
    log = logged("one") + logged("two", "[    3.1][  T7] BUG: Bad rss-counter state mm:0 type:1\n")
    guest_script(monkeypatch, [outcome(said("one", bad) + said("two", GOOD), log)])
    catch = mutants.hunt(mutant, KERNEL, PLAN)
    assert catch.caught
    assert list(mutants.table([catch]))[2] == (
        '| It is broken. | one: `f.a`, `f.c` | "BUG: Bad rss-counter state" |'
    )


def test_a_warning_is_told_by_its_place() -> None:
    warning = "[ 9.1][ T3] WARNING: CPU: 1 PID: 30 at mm/vma.c:737 commit_merge+0x1/0x2"
    mutant = mutants.Mutant("m", Path("m"), "It is broken.", ())
    verdicts = audit.judge(PLAN.programs[:1], said("one", GOOD), logged("one", warning), 5)
    brief = mutants.complaints(verdicts)
    assert brief == ("WARNING: at mm/vma.c:737",)
    catch = mutants.Catch(mutant, (), brief, ())
    assert list(mutants.table([catch]))[2].endswith('| the log | "WARNING: at mm/vma.c:737" |')


def test_a_mutant_that_nobody_notices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "m.patch").write_text("Fault: It is broken.\nRun: one\n---\n")
    guest_script(monkeypatch, [outcome(said("one", GOOD), logged("one"))])
    catch = mutants.hunt(mutants.find(tmp_path)[0], KERNEL, PLAN)
    assert not catch.caught
    assert "**nothing**" in list(mutants.table([catch]))[2]


def test_a_flavour_may_have_patches_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "patches/debug").mkdir(parents=True)
    series, own = tmp_path / "patches/0001-a.patch", tmp_path / "patches/debug/0001-b.patch"
    for path in (series, own):
        path.write_text("")
    assert all_patches(tmp_path, "bench") == [series]
    assert all_patches(tmp_path, "debug", [Path("m")]) == [series, own, Path("m")]


def test_the_findings_are_kept_as_they_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catches = [
        mutants.Catch(
            mutants.Mutant(name, Path(name), f"{name} is broken.", ("one",)), tests, (), ()
        )
        for name, tests in (("a", ("one: f.a",)), ("b", ()))
    ]
    monkeypatch.setattr(mutants, "find", lambda *_: [catch.mutant for catch in catches])
    monkeypatch.setattr(mutants, "hunt", lambda mutant, *_: catches[mutant.name == "b"])
    monkeypatch.setattr("vmabench.commands.audit.obtain", lambda *_, **__: KERNEL)
    table = tmp_path / "table.md"
    assert main(["guest", "mutants", "-o", str(table)]) == 1
    assert table.read_text().splitlines()[2:] == [
        "| a is broken. | one: `f.a` | clean |",
        "| b is broken. | **nothing** | clean |",
    ]
    out = capsys.readouterr().out
    assert "b: NOT CAUGHT" in out
    assert "1 of 2 mutants caught" in out
