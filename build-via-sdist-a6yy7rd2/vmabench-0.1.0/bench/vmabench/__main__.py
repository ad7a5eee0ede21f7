# SPDX-License-Identifier: GPL-2.0-only
"""``python -m vmabench``."""

import sys

from vmabench.cli import main

sys.exit(main())
