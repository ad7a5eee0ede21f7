# SPDX-License-Identifier: GPL-2.0-only
"""The section of a cover letter: golden files, the checklist, and what a mail must survive.

After an intended change, VMABENCH_GOLDEN=write makes the files anew; read the difference.
"""

import copy
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import synthetic
from tests.command import call, error_line
from tests.needs import checkpatch, needs
from tests.test_text import check
from vmabench.analysis.compare import compare
from vmabench.errors import UsageError
from vmabench.matrix.case import Case
from vmabench.report.letter import Extras, Side, commit_message, cover_letter, side
from vmabench.report.letter.checklist import missing
from vmabench.report.letter.code_size import section_bytes
from vmabench.report.letter.plain import WIDTH, clean, in_unit, table
from vmabench.report.letter.sections import every_case
from vmabench.store.format import Record, Result
from vmabench.units import format_time

MECHANISMS = ("clone", "fork", "readv", "memfd")
CASES = [
    case
    for case in synthetic.cases(MECHANISMS, touches=(("read", 100),))
    if case.size_bytes in (4096, 65536, 2 << 20, 16 << 20)
]
FACTS = synthetic.FACTS | {
    "smt": "off", "numa_nodes": 1, "thp": "madvise", "thp_shmem": "never",
    "kernel_config_sha256": "c0ffee" * 10, "kernel_debug": [],
}  # fmt: skip
CONDITIONS = {
    "sockets": 1, "cores": 2, "governor": "performance", "turbo": "off", "swap": ["zram"],
    "zswap": "N", "thp_defrag": "madvise", "mthp": {"64K": "always"}, "khugepaged": "0",
    "hugetlb_pools": {"2M": "64"}, "compiler": "gcc 12.2.0", "aslr": "2", "cmdline_sha256": "ab",
}  # fmt: skip


@cache
def _records(clone: bool) -> list[Record]:
    cases = [case for case in CASES if clone or case.mechanism != "clone"]
    return synthetic.records(cases, rounds=5, values=2)


def made(
    kernel: str = "6.12.0-00001-g0123456789ab", factor: float = 1.0, clone: bool = True
) -> Result:
    """A run with nothing missing; ``factor`` is of fork alone."""
    records = copy.deepcopy(_records(clone))
    records[0] = records[0] | {"kernel": kernel}
    if clone:
        records = [record for record in records if record["kind"] != "skipped"]
    for record in records:
        for value in record.get("values", ()):
            value |= {"peak_bytes": 3 << 20, "swap_in_bytes": 0, "swap_out_bytes": 0}
            if record["case"].startswith("fork/"):
                value["time_ns"] = {
                    name: round(factor * ns) for name, ns in value["time_ns"].items()
                }
    records = synthetic.in_boots(records, (2, 3, 6, 7, 10) if clone else (1, 4, 5, 8, 9))
    machine = {"facts": dict(FACTS), "conditions": dict(CONDITIONS)}
    return replace(synthetic.result(records), machine=machine)


@cache
def pair() -> list[Side]:
    base = made("6.12.0-g0123456789ab", clone=False)
    return [side(base), side(made("6.12.0-00007-gfedcba987654", factor=1.3))]


def compared(sides: list[Side]) -> str:
    a, b = sides
    return cover_letter(sides, compare(a.frame, b.frame, target_width=0.3))


def with_appendix(sides: list[Side]) -> str:
    a, b = sides
    return cover_letter(
        sides, compare(a.frame, b.frame, target_width=0.3), (), Extras(appendix=True)
    )


def fit_for_mail(text: str) -> None:
    assert text.isascii()
    assert "\t" not in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert not [line for line in text.splitlines() if line != line.rstrip()]
    # what ends the message for git am
    assert not [line for line in text.splitlines() if line.startswith(("diff ", "Index: "))]
    assert not [line for line in text.splitlines() if line.strip() == "---"]


def test_golden_letter_of_two_kernels() -> None:
    sides = pair()
    text = compared(sides)
    check("cover-letter.txt", text)
    fit_for_mail(text)
    assert missing(sides) == []
    assert "DRAFT" not in text
    assert text.index("fork/transfer") < text.index("Not supported")
    assert "clone (4K pages, 1 cell) skipped" not in text  # it is the base that lacks it


def test_the_appendix_has_every_case_that_can_be_compared() -> None:
    text, without = with_appendix(pair()), compared(pair())
    fit_for_mail(text)
    assert text.startswith(without.rstrip("\n"))
    head, *lines = text.removeprefix(without.rstrip("\n")).strip().splitlines()[2:]
    assert head.split() == ["A", "%stddev", "%change", "B", "%stddev", "case"]
    a, b = pair()
    both = compare(a.frame, b.frame, target_width=0.3)
    assert len(lines) == int((both["verdict"] != "not comparable").sum()) > 20
    (mine,) = (line.split() for line in lines if line.endswith(" fork/transfer/4K/16M"))
    is_mine = both["case_id"] == "fork/scenario:transfer/page:4K/size:16M"
    (row,) = both[is_mine].to_dict("records")
    assert mine[2] == f"{100 * (row['ratio'] - 1):+.1f}%"
    assert mine[0] == format_time(float(row["a_ns"])).replace(" ", "")
    assert any(line.split()[2] == "~" for line in lines)


def test_a_long_name_in_the_appendix_goes_on_below() -> None:
    a, b = pair()
    rows = compare(a.frame, b.frame, target_width=0.3).iloc[:2].copy()
    rows["case_id"] = [
        "readv/page:4K",
        "pageserver/" + "/".join(f"axis:value{n}" for n in range(9)),
    ]
    text = every_case(rows)
    fit_for_mail(text)
    assert text.splitlines()[-1].startswith("   ")
    assert "value8" in "".join(text.split())


@needs("compiler")
def test_the_sizes_of_two_images_are_compared(tmp_path: Path) -> None:
    images = []
    for name, more in (("a", ""), ("b", "int more[1000]; int f(int x) { return more[x] * 7; }")):
        source, image = tmp_path / f"{name}.c", tmp_path / name
        source.write_text(f"int main(void) {{ return 0; }} const int c[10] = {{ 1 }}; {more}")
        subprocess.run(["gcc", "-O2", "-c", source, "-o", image], check=True)
        images.append(str(image))
    sizes = [section_bytes(Path(image)) for image in images]
    assert sizes[1]["bss"] - sizes[0]["bss"] == 4000
    assert sizes[1]["text"] > sizes[0]["text"] > 0
    assert sizes[1]["data"] == sizes[0]["data"]
    sides = pair()
    compared_ = compare(sides[0].frame, sides[1].frame, target_width=0.3)
    text = cover_letter(sides, compared_, (), Extras(images=(images[0], images[1])))
    fit_for_mail(text)
    assert re.search(r"bss +\| +0 \| +4000 \| +\+4000", text)


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh", b"\x7fELF\x02\x01" + bytes(60)])
def test_what_is_no_image_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UsageError, match="file"):
        section_bytes(tmp_path / "file")
    with pytest.raises(UsageError, match="No such file"):
        section_bytes(tmp_path / "nowhere")


def test_golden_letter_of_one_run_is_a_draft() -> None:
    text = cover_letter([side(synthetic.result(synthetic.records(CASES[::2])))])
    check("draft-letter.txt", text)
    fit_for_mail(text)


def test_golden_commit_message() -> None:
    text = commit_message(pair())
    check("commit-message.txt", text)
    fit_for_mail(text)
    assert "Cloning against the fastest copy, receiver's time: faster" in text.replace("\n", " ")


def changed(change: Callable[[dict[str, Any], dict[str, Any], list[Record]], object]) -> list[str]:
    """What the checklist says of a pair, the second of which was changed."""
    base, patched = (
        made("6.12.0-g0123456789ab", clone=False),
        made("6.12.0-00007-gfedcba987654"),
    )
    machine, records = copy.deepcopy(patched.machine), copy.deepcopy(patched.records)
    change(machine["facts"], machine["conditions"], records)
    end = records[-1]["kind"] == "end"
    worse = replace(
        patched, machine=machine, records=records, header=records[0], complete=end
    )  # fmt: skip
    return missing([side(base), side(worse)])


def without(name: str) -> Callable[[dict[str, Any], dict[str, Any], list[Record]], object]:
    def change(_facts: dict[str, Any], _conditions: dict[str, Any], records: list[Record]) -> None:
        for record in records:
            for value in record.get("values", ()):
                value.pop(name, None)

    return change


def one_round(_f: dict[str, Any], _c: dict[str, Any], records: list[Record]) -> None:
    records[:] = [record for record in records if record.get("round", 1) == 1]


def one_boot(_f: dict[str, Any], _c: dict[str, Any], records: list[Record]) -> None:
    records[:] = [record for record in records if record["kind"] != "boot"]


def lost_boot(_f: dict[str, Any], _c: dict[str, Any], records: list[Record]) -> None:
    lost = {"kind": "boot", "boot": 11, "status": "lost", "rounds": 0, "reason": "no end"}
    records.insert(-1, lost)


def no_proof(_f: dict[str, Any], _c: dict[str, Any], records: list[Record]) -> None:
    for record in records:
        record.pop("proof", None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f, c, r: r[0].update(virt="emulated"), "EMULATED"),
        (lambda f, c, r: r[0].update(kernel="6.12.0"), "the commit of the series (B) (--patched"),
        (lambda f, c, r: r.pop(), "a run of the series (B) that was not cut off"),
        (lambda f, c, r: f.update(smt="unknown"), "SMT"),
        (lambda f, c, r: f.pop("numa_nodes"), "the NUMA nodes"),
        (lambda f, c, r: c.update(turbo=None), "turbo"),
        (lambda f, c, r: c.pop("governor"), "the CPU frequency governor"),
        (lambda f, c, r: c.update(swap=None), "the swap devices"),
        (lambda f, c, r: c.update(compiler="gcc 13"), "another compiler"),
        (lambda f, c, r: c.update(cmdline_sha256="cd"), "another command line"),
        (lambda f, c, r: f.update(kernel_config_sha256="d"), "another configuration"),
        (lambda f, c, r: f.update(kernel_debug=["KASAN"]), "has KASAN"),
        (without("peak_bytes"), "costs that were not measured: peak memory"),
        (no_proof, "the proof of the backing"),
        (one_round, "a deviation for every cell"),
        (one_boot, "3 boots or more of B, A and B in turns: with fewer, a difference may be one"),
        (lost_boot, "all boots of B: 1 were lost"),
        (lambda f, c, r: r.__setitem__(
            slice(None), [one for one in r if "memfd" not in one.get("case", "")]),
         "memfd or shm"),
    ],
)  # fmt: skip
def test_the_checklist_is_enforced(
    change: Callable[[dict[str, Any], dict[str, Any], list[Record]], object], words: str
) -> None:
    assert words in " ".join(changed(change))


def test_what_has_no_memory_needs_no_proof_of_it() -> None:
    def with_null(_f: dict[str, Any], _c: dict[str, Any], records: list[Record]) -> None:
        case = "readv/scenario:transfer/page:4K/size:4K"
        for record in [one for one in records if one.get("case") == case]:
            empty = record | {"case": case.replace("readv", "null")}
            del empty["proof"]
            records.insert(records.index(record), empty)

    assert changed(with_null) == []


def test_emulated_numbers_are_always_a_draft() -> None:
    result = made()
    result.header["virt"] = "emulated"
    for text in (cover_letter([side(result)]), commit_message([side(result)])):
        assert text.index("DRAFT of EMULATED numbers") < text.index("lower is better")


def test_a_forced_comparison_is_a_draft() -> None:
    forced = ["THP setting always and never"]
    for text in (cover_letter(pair(), None, forced), commit_message(pair(), forced)):
        assert "DRAFT" in text
        assert "  - comparable results: THP setting always and never\n" in text


def test_what_lost_and_what_could_not_run_is_in_it() -> None:
    text = " ".join(cover_letter([side(made(clone=False))]).split())
    assert "Where fork (proxy) is slower than readv" in text
    assert "transfer 4K 4K" in text
    assert "clone (4K pages, 1 cell) skipped: the kernel has no clone" in text
    assert "(ENOSYS)" in text
    assert compared(pair()).count("TODO(author)") == 2


def test_nothing_and_little_are_letters_too() -> None:
    nothing = side(synthetic.result(synthetic.records([], rounds=0)[:2]))
    one = side(
        synthetic.result(synthetic.records([Case("readv", "transfer", "4K", 4096)], rounds=1))
    )
    for each in (nothing, one):
        fit_for_mail(cover_letter([each]))
        fit_for_mail(commit_message([each]))
    assert "Nothing was measured." in cover_letter([nothing])
    assert "there is not one number" in " ".join(cover_letter([nothing]).split())


ANYTHING = st.one_of(
    st.text(max_size=200), st.none(), st.integers(), st.floats(), st.lists(st.text(max_size=90)),
    st.dictionaries(st.text(max_size=60), st.text(max_size=60), max_size=3),
)  # fmt: skip
FEW = [
    Case(mechanism, "deliver", page, 2 << 20, "read", 100)
    for mechanism in ("clone", "fork", "readv", "memfd")
    for page in ("4K", "2M")
]


@cache
def plain_side() -> Side:
    return side(synthetic.result(synthetic.records(FEW, rounds=2, values=1)))


NAMES = st.text(st.characters(exclude_characters="/"), min_size=1, max_size=90)


@given(
    header=st.dictionaries(st.sampled_from(["kernel", "plan", "seed", "vmabench", "source_cpu",
                                            "started"]), st.text(max_size=200)),
    facts=st.dictionaries(st.sampled_from(sorted([*FACTS, "guest"])), ANYTHING),
    conditions=st.dictionaries(st.sampled_from(sorted(CONDITIONS)), ANYTHING),
    reason=st.text(max_size=400), strange=NAMES, factor=st.floats(1e-6, 1e9),
)  # fmt: skip
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_data_makes_a_line_too_long(
    header: dict[str, Any],
    facts: dict[str, Any],
    conditions: dict[str, Any],
    reason: str,
    strange: str,
    factor: float,
) -> None:
    records = synthetic.records(FEW, rounds=2, values=1)
    records[0] = records[0] | header
    records[1] = records[1] | {"reason": reason}
    for record in records:
        for value in record.get("values", ()):
            value["time_ns"] = {name: round(ns * factor) for name, ns in value["time_ns"].items()}
    name = f"{strange}/scenario:transfer/page:4K/size:4K"
    records.insert(2, {"kind": "skipped", "case": name, "reason": reason})
    machine = {"facts": FACTS | facts, "conditions": CONDITIONS | conditions}
    result = replace(synthetic.result(records), machine=machine)
    both = [plain_side(), side(result, "0123")]
    letters = (cover_letter([both[1]]), commit_message([both[1]]), with_appendix(both))
    for text in letters:
        fit_for_mail(text)


def test_numbers_and_tables() -> None:
    assert [in_unit(ns, "us") for ns in (0, 1_234, 56_789, 12_345_678)] == [
        "0", "1.23", "56.8", "12350",
    ]  # fmt: skip
    assert clean("a\tb\n\x1b[1mc \N{EM DASH}") == "a b ?[1mc ?"
    text = table(["a" * 90, *["b" * 90] * 4], [["1", "2", "3", "4", "5"]])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.count("aa..") == 4  # goes on below, with its first column


def patch_of(text: str, directory: Path) -> Path:
    """A commit with this message in a repository of its own, as a mail."""
    git = ["git", "-C", str(directory), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", directory], check=True)
    (directory / "file").write_text("one\n")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-qm", "base"], check=True)
    (directory / "file").write_text("one\ntwo\n")
    message = (
        f"mm: clone a mapping of another process\n\n{text}\nSigned-off-by: A <a@example.org>\n"
    )
    subprocess.run([*git, "commit", "-qaF", "-"], input=message, text=True, check=True)
    made = subprocess.run(
        [*git, "format-patch", "-1"], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run([*git, "reset", "-q", "--hard", "HEAD^"], check=True)
    return directory / made


@needs("git")
@pytest.mark.parametrize("form", ["cover-letter", "commit-message"])
def test_it_survives_git_am(form: str, tmp_path: Path) -> None:
    text = compared(pair()) if form == "cover-letter" else commit_message(pair())
    patch = patch_of(text, tmp_path / "tree")
    git = ["git", "-C", str(tmp_path / "tree")]
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run([*git, *identity, "am", "-q", str(patch)], check=True)
    log = subprocess.run([*git, "log", "-1", "--format=%b"], capture_output=True, text=True,
                         check=True).stdout  # fmt: skip
    assert text.strip() in log
    assert (tmp_path / "tree" / "file").read_text() == "one\ntwo\n"


@needs("git", "kernel-source")
@pytest.mark.parametrize("form", ["cover-letter", "commit-message"])
def test_checkpatch_has_nothing_to_say(form: str, tmp_path: Path) -> None:
    text = compared(pair()) if form == "cover-letter" else commit_message(pair())
    patch = patch_of(text, tmp_path / "tree")
    done = subprocess.run(
        ["perl", str(checkpatch()), "--no-tree", "--strict", "--terse", patch],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_the_commands(tmp_path: Path) -> None:
    a, b = (
        synthetic.write(tmp_path / name, synthetic.records(FEW, rounds=3, seed=seed))
        for name, seed in (("a", 1), ("b", 2))
    )
    one = call("report", str(a), "--format", "cover-letter", "--base", "0123456789ab")
    assert (one.returncode, one.stderr) == (0, "")
    assert "(0123456789ab)" in one.stdout
    both = call(
        "compare", str(a), str(b), "--format", "cover-letter", "--base", "0123456789ab",
        "--patched", "fedcba987654",
    )  # fmt: skip
    assert "B = A + this series" in both.stdout
    long = call("compare", str(a), str(b), "--format", "cover-letter", "--appendix")
    assert "Every case, time of one operation" in long.stdout
    assert "--appendix" in error_line(call("compare", str(a), str(b), "--appendix"))
    short = call("report", str(a), "--format", "commit-message")
    assert short.stdout.startswith("DRAFT")
    assert "cover-letter" in error_line(call("report", str(a), "--base", "0123456789ab"))
    assert "one result" in error_line(call("report", str(a), str(b), "--format", "cover-letter"))
