# SPDX-License-Identifier: Apache-2.0
"""Cells of CSV files: nothing that a spreadsheet would run."""

import pytest

from kernel.cells import harmless


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "＋1", "－1", "＠x", "\t=1", "\r=1", "\n=1"])
def test_what_could_be_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "苏州演示机械有限公司", "1=1", "'=1", " =1", "3.2"])
def test_every_other_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text
