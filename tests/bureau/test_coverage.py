# SPDX-License-Identifier: Apache-2.0
"""Full coverage: the sets fill by lenders' deliveries and by lists, and the report counts as a naive count does."""

import csv
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access import tokens
from app import counter
from bureau import coverage
from connectors import lists
from kernel import cells, clock, db
from kernel.errors import Invalid
from tests import factories
from tests.bureau.histories import electricity
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

T0 = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def enrol(trigger: str, *usccs: str, since: date | None = None) -> coverage.Enrolled:
    with db.transaction() as tx:
        listed = [(number, uscc, since) for number, uscc in enumerate(usccs, 1)]
        return coverage.enrol(tx, trigger, listed, "list", "counter", "counter")


def report(now: datetime | None = None) -> dict[str, Any]:
    with db.reading() as reading:
        found = coverage.report(reading, now or clock.now())
    return {one["trigger"]: one for one in found["triggers"]} | {"together": found["together"]}


def missing(trigger: str) -> list[str]:
    with db.reading() as reading:
        return [uscc for uscc, _, _ in coverage.missing(reading, trigger, clock.now())]


def test_a_lenders_delivery_names_the_borrowers_whether_accepted_or_rejected(house: House) -> None:
    willing, unwilling, other = (factories.new_uscc() for _ in range(3))
    factories.consent(willing, scope="collect")
    receipt = factories.deliver([electricity(1, willing), electricity(2, unwilling)], basis="lender")
    assert (receipt.accepted, receipt.reasons) == (1, {"no-collection-consent": 1})
    factories.deliver([electricity(1, other)], basis="department")
    loans = report()["loans"]
    assert (loans["members"], loans["authorised"], loans["share"]) == (2, 1, "50.0")
    assert missing("loans") == [unwilling]
    factories.consent(unwilling, scope="collect")
    assert report()["loans"]["share"] == "100.0"


def test_a_list_twice_changes_nothing_and_each_row_is_told(house: House) -> None:
    one, two = factories.new_uscc(), factories.new_uscc()
    first = enrol("new_accounts", one, "garbage", two, one)
    assert (first.rows, first.enrolled, first.known) == (4, 2, 1)
    assert first.rejected == [{"row": 2, "reason": "invalid-uscc"}]
    again = enrol("new_accounts", one, two)
    assert (again.rows, again.enrolled, again.known, again.rejected) == (2, 0, 2, [])
    assert enrol("policy_support", one, since=date(2999, 1, 1)).rejected == [{"row": 1, "reason": "date-in-the-future"}]
    with pytest.raises(Invalid, match="fills itself"):
        enrol("loans", one)


def test_ended_consents_do_not_cover_and_are_told(house: House) -> None:
    ended, paused, lapsing = (factories.new_uscc() for _ in range(3))
    enrol("policy_support", ended, paused, lapsing)
    for uscc, act in ((ended, "revoke"), (paused, "pause")):
        counter.change(act, factories.consent(uscc, scope="collect"), None)
    factories.consent(lapsing, scope="collect", expires_at=clock.now() + timedelta(days=1))
    now = report()["policy_support"]
    assert (now["authorised"], now["ended"], now["authorised_in_30_days"]) == (1, 2, 1)
    later = report(clock.now() + timedelta(days=2))["policy_support"]
    assert (later["authorised"], later["ended"]) == (0, 3)


STATES = ["none", "live", "revoked", "query only"]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STATES), st.sets(st.sampled_from(coverage.REPORTED))), max_size=8))
def test_the_report_counts_as_one_counts_by_hand(house: House, firms: list[tuple[str, set[str]]]) -> None:
    before = report()
    for state, sets in firms:
        uscc = factories.new_uscc()
        if state in ("live", "revoked"):
            held = factories.consent(uscc, scope="collect")
            if state == "revoked":
                counter.change("revoke", held, None)
        if state == "query only":
            factories.consent(uscc)
        for trigger in sets:
            enrol(trigger, uscc)
    after = report()
    for trigger in coverage.REPORTED:
        members = [state for state, sets in firms if trigger in sets]
        assert after[trigger]["members"] - before[trigger]["members"] == len(members)
        assert after[trigger]["authorised"] - before[trigger]["authorised"] == members.count("live")
    together = [state for state, sets in firms if sets]
    assert after["together"]["members"] - before["together"]["members"] == len(together)
    assert after["together"]["authorised"] - before["together"]["authorised"] == together.count("live")


@pytest.mark.parametrize(
    ("authorised", "members", "told"),
    [(0, 0, None), (0, 3, "0.0"), (2, 3, "66.6"), (1999, 2000, "99.9"), (3, 3, "100.0")],
)
def test_a_share_is_rounded_down(authorised: int, members: int, told: str | None) -> None:
    assert coverage.share(authorised, members) == told


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_list_is_read_as_departments_write_it(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "list.csv"
    file.write_text("uscc,名称,since\n91320599MA00000001,演示公司,2026-01-02\n,,\n x ,演示,\n", encoding=encoding)
    assert list(lists.read(file)) == [(1, "91320599MA00000001", date(2026, 1, 2)), (3, "x", None)]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"code\n1\n", "column uscc"),
        (b"", "column uscc"),
        (b"uscc,since\nx,yesterday\n", "row 1"),
        (b"\xff\xfe\x00", "GB18030"),
    ],
)
def test_a_list_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    with pytest.raises(Invalid, match=told):
        list(lists.read(file))


def test_over_http_it_is_for_administrators(house: House, client: FlaskClient) -> None:
    def bearer(role: str, scope: str) -> dict[str, str]:
        username, _ = factories.person(role)
        with db.transaction() as tx:
            token, _ = tokens.issue(tx, frozenset({scope}), tokens.SESSION_LIFE, username=username)
        return {"Authorization": f"Bearer {token}"}

    admin, other = bearer("admin", "admin"), bearer("compliance", "audit:read")
    uscc = factories.new_uscc()
    body = {"origin": "苏府办〔2019〕142号", "members": [{"uscc": uscc, "since": "2026-01-02"}, {"uscc": "x"}]}
    done = client.post("/v1/coverage/policy_support/members", json=body, headers=admin)
    assert (done.status_code, done.json["enrolled"]) == (200, 1)
    assert done.json["rejected"] == [{"row": 2, "reason": "invalid-uscc"}]
    shown = client.get("/v1/coverage", headers=admin).json
    assert [one["members"] for one in shown["triggers"]] == [0, 0, 1]
    assert shown["triggers"][2]["divisions"][0]["division"] == "320599"
    assert_problem(client.post("/v1/coverage/loans/members", json=body, headers=admin), 422, "invalid-field")
    assert_problem(client.get("/v1/coverage", headers=other), 403, "insufficient-scope")


def test_the_list_of_who_is_missing_takes_no_spreadsheet_in(house: House, tmp_path: Path) -> None:
    assert [cells.harmless(name) for name in ("=1+1", "@x", "演示公司", "-1")] == ["'=1+1", "'@x", "演示公司", "'-1"]
    uscc = factories.new_uscc()
    factories.deliver([factories.registration(1, uscc, "=cmd|' /C calc'!A0")])
    enrol("new_accounts", uscc)
    with db.reading() as reading:
        ((_, name, _),) = coverage.missing(reading, "new_accounts", clock.now())
    assert name == "=cmd|' /C calc'!A0"
    assert next(csv.reader([f"{uscc},{cells.harmless(name)}"]))[1].startswith("'=")
