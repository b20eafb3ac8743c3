# SPDX-License-Identifier: Apache-2.0
"""`bureau rejects` and `bureau quality`: at the counter, with each look on the trail."""

import json
from pathlib import Path

from tests.app.conftest import Bureau
from tests.bureau.histories import entries
from tests.connectors.test_repairs import MONTH, collect, line
from tests.factories import new_uscc


def test_at_the_counter_rejects_are_exported_repaired_and_resubmitted(bureau: Bureau, tmp_path: Path) -> None:
    first, code = collect(tmp_path, line("nobody"), line(new_uscc())), new_uscc()
    out = tmp_path / "rejects.ndjson"
    assert bureau("rejects", "list", first.batch, "--json").json == [
        {"row": 1, "reason": "invalid-uscc", "repaired_by": None}
    ]
    assert bureau("rejects", "export", first.batch, "--out", str(out), "--json").json["rows"] == 1
    assert out.stat().st_mode & 0o777 == 0o600
    row = json.loads(out.read_text())
    row["delivered"]["统一社会信用代码"] = code
    out.write_text(json.dumps(row))
    assert bureau("rejects", "resubmit", first.batch, "--file", str(out), "--json").json["accepted"] == 1
    assert bureau("rejects", "list", first.batch).out.endswith("repaired by 2\n")
    assert "nobody" in bureau("rejects", "show", first.batch, "1").out
    assert [(entry["detail"]["what"], entry["detail"]["shown"]) for entry in entries("staff.viewed")] == [
        ("rejects", 1), ("rejects", 1),
    ]  # fmt: skip
    assert "no such rejected row" in bureau("rejects", "show", first.batch, "2").complaint
    out.write_text("not json")
    assert "line 1" in bureau("rejects", "resubmit", first.batch, "--file", str(out)).complaint
    told = bureau("quality", MONTH, "--json").json
    assert [(one["source"], one["batches"]) for one in told] == [("S01", 2)]
