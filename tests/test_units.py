# SPDX-License-Identifier: GPL-2.0-only
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmabench.errors import UsageError
from vmabench.units import (
    format_duration,
    format_rate,
    format_size,
    format_time,
    parse_duration,
    parse_size,
)


@given(st.integers(min_value=1, max_value=1 << 50))
def test_a_size_survives_writing_and_reading(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4096", 4096),
        ("4K", 4096),
        ("4k", 4096),
        ("1M", 1 << 20),
        ("2GiB", 2 << 30),
        ("3 MB", 3 << 20),
    ],
)
def test_sizes_are_binary(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["0", "0K", "-4K", "4X", "", "K", "1.5M", "4K4", "1e6"])
def test_what_is_no_size_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("250ms", 0.25)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["0s", "-1s", "soon", "", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (1.634, "1.63 ns"),
        (999.4, "999 ns"),
        (999.8, "1.00 us"),
        (1_950, "1.95 us"),
        (64_200_000, "64.2 ms"),
        (12_340_000_000, "12.3 s"),
        (0, "0 ns"),
    ],
)
def test_times_have_three_digits_and_the_unit_that_fits(time_ns: float, text: str) -> None:
    assert format_time(time_ns) == text


def test_rates_are_decimal() -> None:
    assert format_rate(8.8e9) == "8.80 GB/s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0s"), (59.4, "59s"), (75, "1m15s"), (3661, "1h01m")]
)
def test_durations_are_written_as_a_person_says_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
