# SPDX-License-Identifier: GPL-2.0-only
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmabench.errors import UsageError
from vmabench.matrix.axes import THP_SETTINGS
from vmabench.matrix.case import PHASES, Case, name_without_doubles
from vmabench.matrix.plans import Vocabulary, builtin_plans, expand, load_plan
from vmabench.mechanisms import MECHANISMS

cases = st.builds(
    lambda mechanism, page, pages, touch, thp: Case(
        mechanism,
        "deliver" if touch[0] != "none" else "transfer",
        page,
        4096 * pages,
        touch[0],
        touch[1],
        touch[2],
        thp,
    ),
    st.sampled_from(sorted(MECHANISMS)),
    st.sampled_from(["4K", "64K", "2M"]),
    st.integers(min_value=1, max_value=1 << 20),
    st.one_of(
        st.just(("none", 0, "sequential")),
        st.tuples(
            st.sampled_from(["read", "write"]),
            st.integers(0, 100),
            st.sampled_from(["sequential", "random"]),
        ),
    ),
    st.sampled_from(["", *THP_SETTINGS]),
)


@given(cases)
def test_a_name_can_be_parsed(case: Case) -> None:
    assert Case.parse(str(case)) == case


@pytest.mark.parametrize("plan", builtin_plans())
@pytest.mark.parametrize("pages", [("4K", "2M"), ("64K", "512M")])
def test_the_cases_of_all_plans_have_names_of_their_own(plan: str, pages: tuple[str, str]) -> None:
    found = expand(load_plan(plan), Vocabulary(tuple(MECHANISMS), pages))
    assert [Case.parse(str(case)) for case in found] == found
    assert len({str(case) for case in found}) == len(found)
    assert {case.page for case in found} <= set(pages)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "readv",
        "readv/scenario:transfer/page:4K",
        "readv/scenario:transfer/page:4K/size:zero",
        "readv/scenario:transfer/page:4K/size:4096",  # not the form that is written
        "readv/scenario:transfer/page:4K/size:4K/moon:full",
        "readv/scenario:deliver/page:4K/size:4K/touch:read-101",
        "readv/scenario:dance/page:4K/size:4K",
        "readv/scenario:transfer/page:4K/size:4K/thp:current",  # neutral: not written
        "readv/scenario:transfer/page:4K/size:4K/thp:sometimes",
        "readv/scenario:deliver/page:4K/size:4K/thp:never/touch:read-100",  # another order
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Case.parse(name)


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (
            Case("readv", "contention", "4K", 4096, receivers=2),
            "readv/scenario:contention/page:4K/size:4K/crowd:receivers-2",
        ),
        (
            Case("readv", "pageserver", "4K", 4096, receivers=4, limit_bytes=4096),
            "readv/scenario:pageserver/page:4K/size:4K/receivers:4/limit:4K",
        ),
    ],
)
def test_how_many_receive_stands_in_a_name_once(case: Case, name: str) -> None:
    assert str(case) == name
    assert Case.parse(name) == case
    assert name_without_doubles(name) == name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x/scenario:contention/a/crowd:receivers-2/receivers:2",
         "x/scenario:contention/a/crowd:receivers-2"),
        ("x/scenario:pageserver/a/crowd:receivers-4/swapped:0-zram/receivers:4/limit:4M",
         "x/scenario:pageserver/a/swapped:0-zram/receivers:4/limit:4M"),
    ],
)  # fmt: skip
def test_names_of_the_first_results_are_read(old: str, new: str) -> None:
    assert name_without_doubles(old) == new


def test_only_deliver_has_phases_apart() -> None:
    assert Case("readv", "transfer", "4K", 4096).phases == ("total",)
    assert Case("readv", "deliver", "4K", 4096, "read", 100).phases == PHASES
