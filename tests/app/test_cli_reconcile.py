# SPDX-License-Identifier: Apache-2.0
"""`bureau reconcile`: at the counter, with each look on the trail."""

from tests.app.conftest import Bureau
from tests.bureau.histories import entries
from tests.factories import deliver, new_uscc, registration


def test_at_the_counter_a_discrepancy_is_found_listed_shown_and_explained(bureau: Bureau) -> None:
    uscc = new_uscc()
    for source, fen in (("S01", 100), ("S02", 200)):
        deliver([registration(1, uscc, **{"C1.01.07": fen})], source=source)
    assert bureau("reconcile", "--json").json == {"enterprises": 1}
    assert bureau("reconcile", "run").out == "0 enterprises looked at\n"
    (one,) = bureau("reconcile", "list", "--source", "S02", "--state", "open", "--json").json
    assert (
        f"{uscc}  open       注册资本 registered-capital: S01 C1.01.07 (1.1.C1.01), S02"
        in bureau("reconcile", "list").out
    )
    shown = bureau("reconcile", "show", one["discrepancy"], "--json").json
    assert [each["value"] for each in shown["statements"]] == [100, 200]
    told = bureau("reconcile", "explain", one["discrepancy"], "--reason", "raised", "--json").json
    assert (told["state"], told["explained_by"]) == ("explained", "counter")
    assert "only an open one" in bureau("reconcile", "explain", one["discrepancy"], "--reason", "x").complaint
    assert bureau("reconcile", "list", "--state", "open", "--json").json == []
    assert [entry["detail"]["what"] for entry in entries("staff.viewed")] == [
        "discrepancies", "discrepancies", "discrepancy", "discrepancies",
    ]  # fmt: skip
