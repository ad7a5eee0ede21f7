# SPDX-License-Identifier: GPL-2.0-only
"""``python -m vmabench``."""

import sys

# -m puts the current directory first into sys.path, where a json.py would replace the library's.
if not sys.flags.safe_path and sys.path[0] != __file__.removesuffix("/vmabench/__main__.py"):
    del sys.path[0]

from vmabench.cli import main

sys.exit(main())
