# SPDX-License-Identifier: Apache-2.0
"""The script that docs/rewards.md shows, run as it is printed, beside an export: it counts what the statement says."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from audit import export, sealing
from tests.audit.test_rewards import NOON, answered, append, stated
from tests.audit.test_sealing import ORIGIN
from tests.conftest import House

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"


def test_the_printed_script_counts_what_the_statement_says(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_a_day = [answered(), answered(), answered("v"), answered(institution="j"), answered("w", purpose="self")]
    append(monkeypatch, *of_a_day, answered("x", billable=False))
    append(monkeypatch, answered(), answered("v", product="screening"), now=NOON + timedelta(days=1))
    append(monkeypatch, answered("y"), now=NOON + timedelta(days=60))  # of the next year
    size = sealing.seal(ORIGIN).size
    export.write(tmp_path / "log.ndjson", 0, size)
    (script,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    told = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    statement = stated()
    assert told.stdout.split() == [str(statement["queries"]), str(statement["billable"])] == ["7", "5"]
