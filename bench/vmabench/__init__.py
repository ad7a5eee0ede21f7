# SPDX-License-Identifier: GPL-2.0-only
"""When does cloning a mapping beat copying it or sharing it, and what does it cost?"""

__version__ = "0.1.0"
