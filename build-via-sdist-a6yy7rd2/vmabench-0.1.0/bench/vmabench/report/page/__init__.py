# SPDX-License-Identifier: GPL-2.0-only
"""The report as one HTML file that needs nothing else."""

from vmabench.report.page.compose import page

__all__ = ["page"]
