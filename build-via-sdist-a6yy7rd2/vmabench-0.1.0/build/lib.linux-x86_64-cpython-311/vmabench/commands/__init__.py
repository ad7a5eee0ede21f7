# SPDX-License-Identifier: GPL-2.0-only
"""The commands of vmabench: each takes the parsed arguments and returns the exit status."""
