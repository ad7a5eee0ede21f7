# SPDX-License-Identifier: GPL-2.0-only
"""The commands of vmabench: each prints what the API returns, and returns the exit status."""
