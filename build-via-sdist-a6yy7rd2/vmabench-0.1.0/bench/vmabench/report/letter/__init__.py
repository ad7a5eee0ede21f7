# SPDX-License-Identifier: GPL-2.0-only
"""The text that goes into a mail to the list."""

from vmabench.report.letter.compose import LETTERS, Extras, commit_message, cover_letter, letter
from vmabench.report.letter.side import Side, side

__all__ = ["LETTERS", "Extras", "Side", "commit_message", "cover_letter", "letter", "side"]
