# SPDX-License-Identifier: GPL-2.0-only
"""What was written is read back; what is damaged is named and left out, never refused whole."""

import gc
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import synthetic
from vmabench.errors import FormatError, UsageError, VmabenchError
from vmabench.matrix.case import Case
from vmabench.store.format import FORMAT_VERSION, SAMPLES
from vmabench.store.reader import machine_facts, read

CASES = [Case(name, "transfer", "4K", 4096) for name in ("readv", "fork")]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return synthetic.write(tmp_path / "run", synthetic.records(CASES, rounds=3))


def rewrite(run: Path, data: bytes) -> None:
    (run / SAMPLES).write_bytes(data)


def members(run: Path) -> list[bytes]:
    """The gzip members: the magic and "deflate" begin each of them."""
    magic = b"\x1f\x8b\x08"
    return [magic + part for part in (run / SAMPLES).read_bytes().split(magic)[1:]]


def test_what_was_written_is_read(run: Path) -> None:
    result = read(run)
    assert result.records == synthetic.records(CASES, rounds=3)
    assert (result.complete, result.damage) == (True, None)
    assert result.header["kernel"] == "6.12.0-test"
    assert result.plan == {"name": "quick"}
    assert machine_facts(result)["cpu_model"].startswith("Example")


def test_a_case_of_the_first_results_has_the_name_that_it_has_now(tmp_path: Path) -> None:
    case = Case("readv", "contention", "4K", 4096, receivers=2)
    made = synthetic.records([case], rounds=1)
    for record in made:
        if record.get("case") == str(case):
            record["case"] += "/receivers:2"
    result = read(synthetic.write(tmp_path / "old", made))
    (found,) = result.of_kind("case")
    assert Case.parse(found["case"]) == case


def test_facts_at_the_top_of_the_machine_file_are_found(run: Path) -> None:
    (run / "machine.json").write_text(json.dumps(synthetic.FACTS))
    assert machine_facts(read(run)) == synthetic.FACTS


def test_a_cut_off_run_is_not_complete(run: Path) -> None:
    rewrite(run, b"".join(members(run)[:-1]))
    result = read(run)
    assert not result.complete
    assert result.damage is None
    assert result.records[-1]["kind"] == "round"


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_an_end_that_is_not_done_is_not_complete(tmp_path: Path, status: str) -> None:
    records = synthetic.records(CASES, rounds=1)
    records[-1]["status"] = status
    assert not read(synthetic.write(tmp_path, records)).complete


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_every_truncation_gives_the_lines_before_it(run: Path, share: float) -> None:
    whole = synthetic.records(CASES, rounds=3)
    data = b"".join(members(synthetic.write(run, whole)))
    rewrite(run, data[: int(len(data) * share)])
    try:
        result = read(run)
    except FormatError:
        assert share < 0.5
        return
    assert result.records == whole[: len(result.records)]
    assert not result.complete


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_never_becomes_a_number(run: Path, place: int, bit: int) -> None:
    whole = synthetic.records(CASES, rounds=3)
    data = bytearray(b"".join(members(synthetic.write(run, whole))))
    data[place % len(data)] ^= 1 << bit
    rewrite(run, bytes(data))
    try:
        result = read(run)
    except VmabenchError:
        return
    assert result.records == whole[: len(result.records)]


def test_a_damaged_member_is_named_with_its_line(run: Path) -> None:
    first, second, *rest = members(run)
    damaged = bytearray(second)
    damaged[len(second) // 2] ^= 0xFF
    rewrite(run, b"".join([first, bytes(damaged), *rest]))
    result = read(run)
    lines = gzip.decompress(first).count(b"\n")
    assert len(result.records) == lines
    assert f"line {lines} " in (result.damage or "")


def test_a_wrong_checksum_takes_the_whole_member(tmp_path: Path) -> None:
    run = synthetic.write(tmp_path, synthetic.records(synthetic.cases(), rounds=2))
    first, second, *rest = members(run)
    assert len(second) > 10_000  # longer than what is decompressed at once
    rewrite(run, b"".join([first, second[:-8], b"\0" * 4, second[-4:], *rest]))
    result = read(run)
    assert [record["round"] for record in result.of_kind("round")] == [1]
    assert result.records[-1]["kind"] == "round"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "no JSON"),
        ("[1]", "no record"),
        ('{"kind": "case"}', "without round"),
        ('{"kind": "case", "round": 1, "case": "a", "outcome": "ok"}', "without values"),
    ],
)
def test_a_bad_line_is_named(run: Path, line: str, fault: str) -> None:
    first = members(run)[0]
    rewrite(run, first + gzip.compress(f"{line}\n".encode()) + first)
    result = read(run)
    number = gzip.decompress(first).count(b"\n") + 1
    assert f"line {number} " in (result.damage or "")
    assert fault in (result.damage or "")
    assert len(result.records) == number - 1
    assert not result.complete


def test_bytes_after_the_end_are_damage(run: Path) -> None:
    with (run / SAMPLES).open("ab") as file:
        file.write(b"\0" * 100)
    result = read(run)
    assert result.records[-1]["kind"] == "end"
    assert result.damage


def test_the_garbage_collector_pauses_for_the_parse_and_is_restored(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the parse fails, and where the caller has turned it off."""
    seen: list[bool] = []
    parse = json.loads

    def watched(text: bytes | str) -> object:
        seen.append(gc.isenabled())
        return parse(text)

    monkeypatch.setattr(json, "loads", watched)
    read(run)
    assert seen and not any(seen)
    assert gc.isenabled()
    rewrite(run, b"no gzip data")
    with pytest.raises(FormatError):
        read(run)
    assert gc.isenabled()
    gc.disable()
    try:
        with pytest.raises(FormatError):
            read(run)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_newer_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    records = synthetic.records(CASES, rounds=1)
    records[0]["format"] = FORMAT_VERSION + 7
    with pytest.raises(FormatError) as raised:
        read(synthetic.write(tmp_path, records))
    assert f"format {FORMAT_VERSION + 7}," in str(raised.value)
    assert f"up to {FORMAT_VERSION}" in str(raised.value)


def test_an_unknown_kind_is_kept(tmp_path: Path) -> None:
    records = synthetic.records(CASES, rounds=1)
    records.insert(1, {"kind": "remark", "text": "later versions may say more"})
    assert read(synthetic.write(tmp_path, records)).of_kind("remark")


@pytest.mark.parametrize("name", ["machine.json", "plan.toml"])
@pytest.mark.parametrize("contents", [None, "{", "[1]"])
def test_a_missing_neighbour_costs_no_number(run: Path, name: str, contents: str | None) -> None:
    (run / name).unlink()
    if contents is not None:
        (run / name).write_text(contents)
    result = read(run)
    # "[1]" is a table's header in TOML, and therefore no damage there
    assert (name in (result.damage or "")) or (name, contents) == ("plan.toml", "[1]")
    assert result.complete


def test_what_is_no_result_directory_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign").mkdir()
    for name in ("missing", "file", "foreign"):
        with pytest.raises(UsageError) as raised:
            read(tmp_path / name)
        assert "\n" not in str(raised.value)
        assert name in str(raised.value)


@pytest.mark.parametrize(
    ("text", "compressed"),
    [(b"", False), (b"text", False), (b"", True), (b"{}\n", True), (b"null\n", True),
     (b'{"kind": "end", "status": "done"}\n', True)],
)  # fmt: skip
def test_foreign_samples_get_one_line(run: Path, text: bytes, compressed: bool) -> None:
    rewrite(run, gzip.compress(text) if compressed else text)
    with pytest.raises(FormatError) as raised:
        read(run)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": [{"time_ns": {"total": float("nan")}}]}, "total is nan ns, no time"),
        ({"values": [{"time_ns": {"total": float("inf")}}]}, "total is inf ns, no time"),
        ({"values": [{"time_ns": {"total": -3}}]}, "total is -3 ns, no time"),
        ({"values": [{"time_ns": {"total": "5"}}]}, "total is '5', no number"),
        ({"values": [{"time_ns": {"total": True}}]}, "total is True, no number"),
        ({"values": [{}]}, "a value without a time"),
        ({"loops": 0}, "an ok case without operations"),
        ({"loops": "8"}, "an ok case without operations"),
        ({"values": {}}, "an ok case without operations"),
    ],
)
def test_an_edited_number_is_named_with_its_line(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    records = synthetic.records(CASES, rounds=2)
    number = next(n for n, record in enumerate(records) if record["kind"] == "case")
    records[number] |= change
    result = read(synthetic.write(tmp_path, records))
    assert f"damaged at line {number + 1} ({words})" in (result.damage or "")
    assert result.records == records[:number]


def test_a_value_of_zero_is_no_damage(tmp_path: Path) -> None:
    records = synthetic.records(CASES, rounds=1)
    case = next(record for record in records if record["kind"] == "case")
    case["values"][0]["time_ns"]["total"] = 0
    assert read(synthetic.write(tmp_path, records)).damage is None
