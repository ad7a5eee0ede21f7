# SPDX-License-Identifier: GPL-2.0-only
from pathlib import Path

import pytest
import tomli_w

from vmabench.errors import UsageError
from vmabench.matrix.case import Case
from vmabench.matrix.plans import (
    Plan,
    Vocabulary,
    builtin_plans,
    check_sizes,
    expand,
    load_plan,
    override,
    parse_plan,
    scaled,
)

WORDS = Vocabulary(("clone", "fork", "readv"), ("4K", "2M"))

GOOD = """\
name = "mine"
budget = "30s"
rounds = 3

[[sweep]]
mechanism = ["readv", "fork"]
scenario = ["transfer"]
page = ["4K"]
size = ["4K", "1M"]

[[sweep]]
mechanism = ["all"]
scenario = ["deliver"]
page = ["thp"]
size = ["2M"]
touch = ["read-10"]
"""


def test_a_plan_is_the_union_of_its_products() -> None:
    found = expand(parse_plan(GOOD, "mine.toml"), WORDS)
    assert [str(case) for case in found] == [
        "readv/scenario:transfer/page:4K/size:4K/source:rewritten",
        "fork/scenario:transfer/page:4K/size:4K/source:rewritten",
        "readv/scenario:transfer/page:4K/size:1M/source:rewritten",
        "fork/scenario:transfer/page:4K/size:1M/source:rewritten",
        "clone/scenario:deliver/page:2M/size:2M/touch:read-10/source:rewritten",
        "fork/scenario:deliver/page:2M/size:2M/touch:read-10/source:rewritten",
        "readv/scenario:deliver/page:2M/size:2M/touch:read-10/source:rewritten",
    ]


@pytest.mark.parametrize("name", builtin_plans())
def test_a_plan_survives_being_written(name: str) -> None:
    plan = load_plan(name)
    assert parse_plan(tomli_w.dumps(plan.to_toml()), "copy") == plan


def test_a_plan_of_a_user_is_a_file() -> None:
    Path("mine.toml").write_text(GOOD)
    assert load_plan("mine.toml").name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("rounds = 3", "round = 3", 3, "round is unknown here .*did you mean rounds"),
        ("rounds = 3", 'rounds = "3"', 3, "rounds must be a whole number"),
        ("rounds = 3", "rounds = 0", 3, "rounds must be at least 1"),
        ("rounds = 3", "target_width = -0.1", 3, "target_width must not be negative"),
        ("rounds = 3", 'target_width = "a"', 3, "target_width must be a number"),
        ("rounds = 3", "rounds = true", 3, "rounds must be a whole number"),
        ('budget = "30s"', 'budget = "30 parsecs"', 2, "budget is wrong"),
        ('budget = "30s"', "budget = 30", 2, "budget must be a string"),
        ('touch = ["read-10"]', 'tuoch = ["read-10"]', 16, "tuoch is unknown here .*touch"),
        ('touch = ["read-10"]', 'touch = ["reed"]', 16, "touch is wrong"),
        ('size = ["2M"]', 'size = "2M"', 15, "size must be a list"),
        ('size = ["2M"]', "size = [2]", 15, "size must be a list of strings"),
        ('size = ["4K", "1M"]', 'size = ["4K", "0"]', 9, "size is wrong"),
        ('name = "mine"', 'name = "my plan"', 1, "name must consist of"),
        ('name = "mine"', "name = mine", 1, "Invalid value"),
    ],
)
def test_errors_name_the_line(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(
        UsageError, match=rf"(?s)mine\.toml.*line {line}\b.*{words}|{words}"
    ) as info:
        parse_plan(GOOD.replace(old, new), "mine.toml")
    assert str(info.value).startswith("mine.toml")
    assert f"line {line}" in str(info.value)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(UsageError, match="budget is missing"):
        parse_plan(GOOD.replace('budget = "30s"', ""), "mine.toml")


@pytest.mark.parametrize(
    ("kind", "wrong", "near"),
    [("mechanism", "readw", "readv"), ("scenario", "tranfser", "transfer"), ("page", "4k", "4K")],
)
def test_unknown_names_get_the_nearest_valid_one(kind: str, wrong: str, near: str) -> None:
    plan = override(parse_plan(GOOD, "mine.toml"), {kind: [wrong]})
    with pytest.raises(UsageError, match=rf"unknown {kind} '{wrong}': did you mean {near}\?"):
        expand(plan, WORDS)


def test_an_unknown_plan_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"unknown plan 'quik': did you mean quick\?"):
        load_plan("quik")
    with pytest.raises(UsageError, match=r"can't read the plan gone\.toml"):
        load_plan("gone.toml")


def test_an_axis_is_replaced_in_all_sweeps() -> None:
    plan = override(
        parse_plan(GOOD, "mine.toml"), {"size": ["8M"], "page": [], "mechanism": ["fork"]}
    )
    assert [str(case) for case in expand(plan, WORDS)] == [
        "fork/scenario:transfer/page:4K/size:8M/source:rewritten",
        "fork/scenario:deliver/page:2M/size:8M/touch:read-10/source:rewritten",
    ]


def test_a_size_that_no_page_divides_is_refused() -> None:
    small, huge = Case("readv", "transfer", "4K", 6144), Case("readv", "transfer", "2M", 6144)
    with pytest.raises(UsageError, match="6K is no multiple of the page size 4K or 2M"):
        check_sizes([small, huge], ["6K"])
    check_sizes([small, huge], ["64K"])


EMULATED = '\n[emulated]\nbudget = "4m"\nrounds = 5\nmax_size = "1M"\n'


def test_a_plan_is_scaled_to_an_emulated_machine() -> None:
    plan = parse_plan(GOOD + EMULATED, "mine.toml")
    small = scaled(plan)
    assert (small.budget_s, small.rounds, small.name) == (240, 5, plan.name)
    sizes = {case.size_bytes for case in expand(small, WORDS)}
    assert sizes == {4096, 1 << 20}
    assert {case.size_bytes for case in expand(plan, WORDS)} == sizes | {2 << 20}
    assert parse_plan(tomli_w.dumps(small.to_toml()), "again") == small
    whole = parse_plan(GOOD, "mine.toml")
    assert scaled(whole) is whole


def test_a_plan_of_large_sizes_alone_keeps_them() -> None:
    plan = parse_plan(GOOD + EMULATED.replace("1M", "1K"), "mine.toml")
    assert scaled(plan).sweeps == plan.sweeps


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rounds = 5", "rounds = 0", "line 20: rounds must be at least 1"),
        ('max_size = "1M"', 'maxsize = "1M"', "line 21: maxsize is unknown here"),
        ('budget = "4m"', 'budget = "4x"', "line 19: budget is wrong"),
    ],
)
def test_errors_of_the_emulated_part_name_their_line(old: str, new: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_plan(GOOD + EMULATED.replace(old, new), "mine.toml")


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (("4K", "2M"), ["4K", "2M"]),
        (("4K", "2M", "16K", "64K", "hugetlb-2M", "hugetlb-1G"), ["4K", "2M", "64K", "hugetlb-2M"]),
        (("4K", "2M", "16K"), ["4K", "2M", "16K"]),
        (("64K", "512M", "1M", "hugetlb-2M"), ["64K", "512M", "1M", "hugetlb-2M"]),
        (("64K", "512M", "128K", "1M"), ["64K", "512M", "1M"]),
    ],
)
def test_an_alias_is_a_page_of_this_kernel_or_nothing(
    pages: tuple[str, ...], expected: list[str]
) -> None:
    plan = override(load_plan("smoke"), {"page": ("base", "thp", "mthp", "hugetlb")})
    assert _pages(plan, pages) == expected


def _pages(plan: Plan, pages: tuple[str, ...]) -> list[str]:
    only = override(plan, {"mechanism": ("readv",)})
    return list(dict.fromkeys(case.page for case in expand(only, Vocabulary(("readv",), pages))))


def test_an_axis_of_some_scenarios_concerns_these_alone() -> None:
    text = GOOD.replace('["deliver"]', '["transfer", "deliver"]').replace(
        '"read-10"', '"read-10-random"'
    )
    plan = parse_plan(text + 'thp = ["always", "never"]\n', "p.toml")
    found = [case for case in expand(plan, WORDS) if case.page == "2M"]
    touches = {(case.scenario, case.touch) for case in found}
    assert touches == {("transfer", "none"), ("deliver", "read-10-random")}
    assert {case.thp for case in found} == {"always", "never"}
    assert parse_plan(tomli_w.dumps(plan.to_toml()), "again.toml") == plan


def test_a_wrong_option_is_named_with_its_line() -> None:
    with pytest.raises(UsageError, match=r"p\.toml, line \d+: thp is wrong: 'off' is no setting"):
        parse_plan(GOOD + 'thp = ["off"]\n', "p.toml")
