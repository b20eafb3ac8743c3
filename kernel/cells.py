# SPDX-License-Identifier: Apache-2.0
"""Cells of the CSV files that people open in a spreadsheet."""

FORMULA = tuple("=+-@＝＋－＠\t\r\n")  # what a spreadsheet may run, the full-width forms too (CWE-1236)


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that could be begins with an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA) else text
