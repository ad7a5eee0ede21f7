# SPDX-License-Identifier: GPL-2.0-only
"""Sizes, times and rates as a person writes and reads them. Binary units throughout."""

import re

from vmabench.errors import UsageError

_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%?")
_SECONDS = {"ms": 1e-3, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_size(text: str) -> int:
    """Bytes of a size such as ``4K``, ``1M`` or ``4096``; raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    size_bytes = int(match[1]) * _FACTORS[match[2].upper()] if match else 0
    if size_bytes <= 0:
        raise UsageError(
            f"{text!r} is no size: write a positive number with K, M or G, such as 64K"
        )
    return size_bytes


def format_size(size_bytes: int) -> str:
    """The shortest exact way to write a size: 4096 gives ``4K``, 4097 gives ``4097``."""
    for unit in ("T", "G", "M", "K"):
        if size_bytes and size_bytes % _FACTORS[unit] == 0:
            return f"{size_bytes // _FACTORS[unit]}{unit}"
    return str(size_bytes)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``90s``, ``15m`` or ``2h``; raises UsageError."""
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"{text!r} is no duration: write it as 90s, 15m or 2h")
    return seconds


def parse_percent(text: str) -> float:
    """Fraction of a percentage above 0 such as ``3%`` or ``2.5``; raises UsageError."""
    match = _PERCENT.fullmatch(text.strip())
    fraction = float(match[1]) / 100 if match else 0.0
    if fraction <= 0:
        raise UsageError(f"{text!r} is no percentage above 0: write it as 3% or 2.5%")
    return fraction


def format_duration(seconds: float) -> str:
    """``75`` gives ``1m15s``; below a minute ``12s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def format_time(time_ns: float) -> str:
    """Three significant digits with the unit that fits: ``1.9 us``, ``64.2 ms``."""
    for limit, factor, unit in ((1e3, 1.0, "ns"), (1e6, 1e3, "us"), (1e9, 1e6, "ms")):
        if abs(time_ns) < limit * 0.9995:
            return f"{_three_digits(time_ns / factor)} {unit}"
    return f"{_three_digits(time_ns / 1e9)} s"


def format_rate(bytes_per_second: float) -> str:
    """Three significant digits in GB/s, where 1 GB is 10^9 bytes."""
    return f"{_three_digits(bytes_per_second / 1e9)} GB/s"


def _three_digits(value: float) -> str:
    if value == 0:
        return "0"
    for limit, digits in ((9.995, 2), (99.95, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"
