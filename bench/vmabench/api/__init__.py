# SPDX-License-Identifier: GPL-2.0-only
"""The functions that the package exports: measure, load, analyse and draw from Python."""
