# SPDX-License-Identifier: GPL-2.0-only
"""Does reading the counters cost the timed part anything? The same cases without them.

    make check-counters          two runs in a row: takes two quiet minutes

Prints each case for which a difference was shown; status 1 if there are more than chance makes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from vmabench.analysis.compare import compare
from vmabench.analysis.frame import tidy
from vmabench.store.reader import read

LIMIT = 0.05
CASES = (
    "quick", "--mechanism", "readv,fork,memfd,memcpy,null", "--size", "4K,64K,1M,16M",
    "--page", "base", "--budget", "60s",
)  # fmt: skip


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="vmabench-counters-") as scratch:
        on = measure(Path(scratch) / "on")
        off = measure(Path(scratch) / "off", "--no-counters")
        compared = compare(tidy(read(on)), tidy(read(off)), target_width=0.3)
    judged = compared[compared["verdict"] != "not comparable"]
    shown = judged[judged["verdict"].isin(["slower", "faster"])]
    for row in shown.to_dict("records"):
        print(f"{row['verdict']:7} {row['ratio']:.3f} [{row['lo']:.3f}..{row['hi']:.3f}]"
              f" {row['case_id']}")  # fmt: skip
    held = bool(len(judged)) and len(shown) <= LIMIT * len(judged)
    print(
        f"without counters, {len(shown)} of {len(judged)} cases differ by more than the interval"
        f" (at most {100 * LIMIT:g} %): {'ok' if held else 'MISSED'}"
    )
    return 0 if held else 1


def measure(directory: Path, *options: str) -> Path:
    command = [sys.executable, "-m", "vmabench", "run", *CASES, *options, "-o", str(directory)]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if status not in (0, 2):
        sys.exit(status)
    return directory


if __name__ == "__main__":
    sys.exit(main())
