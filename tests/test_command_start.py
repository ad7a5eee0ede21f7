# SPDX-License-Identifier: GPL-2.0-only
"""The start of vmabench by tests."""

import signal

from tests.command import start

SHOW = ("sh", "-c", "grep SigIgn /proc/$$/status", "sh")


def test_a_signal_that_the_tests_ignore_is_heeded() -> None:
    """A shell without job control ignores SIGINT for ``make test &``."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with start("list", prefix=SHOW) as process:
            shown, _ = process.communicate(timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    ignored = int(shown.split()[1], 16)
    assert not ignored & 1 << signal.SIGINT - 1
