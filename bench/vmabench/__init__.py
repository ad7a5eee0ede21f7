# SPDX-License-Identifier: GPL-2.0-only
"""Measures when cloning a mapping beats copying it or sharing it, and what it costs."""

__version__ = "0.1.0"
