# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md: what the service's role is granted."""

import re
from pathlib import Path

from app import application
from kernel.db import metadata

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_every_table_of_the_code_is_granted_and_no_other() -> None:
    assert application  # which has loaded every table
    lines = re.findall(r"GRANT [A-Z, ]+ ON (?!ALL)([^;]+?) TO service;", PAGE.read_text(encoding="utf-8"))
    granted = {name for line in lines for name in re.findall(r"\w+", line)}
    assert granted == set(metadata.tables)
