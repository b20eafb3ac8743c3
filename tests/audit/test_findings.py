# SPDX-License-Identifier: Apache-2.0
"""Findings: each rule fires at its limit and not one below it, names its evidence, and is shown to compliance only."""

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from audit import acts, findings
from audit.events import Event
from audit.findings import Act, Finding, Known
from consent import consents
from kernel import clock, db
from tests import factories
from tests.audit.test_entries import officer
from tests.audit.test_search import at
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

DAY = date(2026, 3, 3)
NOON = datetime(2026, 3, 3, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai
LIMITS = findings.shipped()
_numbers = count(1)


def asked(time: datetime = NOON, **changes: Any) -> Act:
    """An answered question, another one each time."""
    known: dict[str, Any] = {
        "id": f"{next(_numbers):012d}",
        "time": time,
        "type": findings.ANSWERED,
        "actor": "client:c-1",
        "institution": "i-1",
        "operator": "OP-1",
        "uscc": "U-1",
        "purpose": "pre_loan",
    }
    return Act(**{**known, **changes})


def refused(time: datetime = NOON, **changes: Any) -> Act:
    return asked(time, **{"type": findings.REFUSED, "rule": "no-consent", **changes})


def revoked(time: datetime, grantee: str = "i-1", uscc: str = "U-1") -> Act:
    return Act(f"{next(_numbers):012d}", time, findings.REVOKED, "person:p", uscc=uscc, grantee=grantee)


def judged(rule: str, some: list[Act], known: Known | None = None) -> list[Finding]:
    return list(findings.RULES[rule](DAY, some, known or Known(), LIMITS))


def at_least(rule: str) -> int:
    return int(LIMITS[rule]["at_least"])


@pytest.mark.parametrize(
    ("rule", "one"),
    [
        ("repeated-refusals", lambda n: refused(uscc=f"U-{n}", rule=("no-consent", "class-not-covered")[n % 2])),
        ("off-hours", lambda n: asked(datetime(2026, 3, 3, 15, 30, tzinfo=UTC) + timedelta(minutes=n))),
        ("breadth", lambda n: asked(uscc=f"U-{n}")),
        ("many-lenders", lambda n: asked(institution=f"i-{n}", actor=f"client:c-{n}")),
    ],
)
def test_a_rule_fires_at_its_limit_and_not_one_below(rule: str, one: Any) -> None:
    some = [one(n) for n in range(at_least(rule))]
    assert judged(rule, some[1:]) == []
    (found,) = judged(rule, some)
    assert (found.rule, found.day, found.count, found.limit) == (rule, DAY, len(some), len(some))
    assert set(found.evidence) == {act.id for act in some[: findings.EVIDENCE]}
    assert str(found.count) in found.reason


def test_two_operators_together_are_not_one() -> None:
    limit = at_least("repeated-refusals")
    some = [refused(operator=f"OP-{n % 2}") for n in range(2 * limit - 2)]
    assert judged("repeated-refusals", some) == []
    same_name_elsewhere = [refused(institution=f"i-{n % 2}") for n in range(2 * limit - 2)]
    assert judged("repeated-refusals", same_name_elsewhere) == []


def test_the_same_enterprise_many_times_is_no_breadth() -> None:
    assert judged("breadth", [asked() for _ in range(3 * at_least("breadth"))]) == []


@pytest.mark.parametrize(
    ("clock_time", "counts"),
    [("06:59:59", True), ("07:00:00", False), ("20:59:59", False), ("21:00:00", True), ("00:00:00", True)],
)
def test_off_hours_are_those_of_shanghai(clock_time: str, counts: bool) -> None:
    time = datetime.fromisoformat(f"2026-03-03T{clock_time}+08:00").astimezone(UTC)
    assert bool(judged("off-hours", [asked(time) for _ in range(at_least("off-hours"))])) is counts


def test_questions_after_a_revocation_name_it() -> None:
    revocation = revoked(NOON - timedelta(days=3))
    known = Known()
    known.learn(DAY - timedelta(days=3), [revocation])
    some = [refused(NOON + timedelta(minutes=n)) for n in range(at_least("after-revocation"))]
    assert judged("after-revocation", some[1:], known) == []
    (found,) = judged("after-revocation", some, known)
    assert found.evidence == (revocation.id, *(act.id for act in some))
    assert found.about == {"institution": "i-1", "uscc": "U-1", "revocation": revocation.id}


@pytest.mark.parametrize(
    "changes", [{"institution": "i-2"}, {"uscc": "U-2"}, {"rule": "class-not-covered"}, {"type": findings.ANSWERED}]
)
def test_other_questions_are_not_after_a_revocation(changes: dict[str, Any]) -> None:
    rule = {"rule": None} if changes.get("type") == findings.ANSWERED else {}
    some = [refused(**{**changes, **rule}) for _ in range(9)]
    assert judged("after-revocation", [revoked(NOON - timedelta(hours=1)), *some]) == []


def test_questions_before_a_revocation_and_long_after_it_do_not_count() -> None:
    some = [refused() for _ in range(9)]
    assert judged("after-revocation", [*some, revoked(NOON)]) == []
    known = Known(revoked={"U-1": [revoked(NOON - timedelta(days=LIMITS["after-revocation"]["days"], seconds=1))]})
    assert judged("after-revocation", some, known) == []
    assert judged("after-revocation", some, Known(revoked={"U-1": [revoked(NOON - timedelta(days=1), "platform")]}))


def test_many_lenders_within_a_month_are_told_once_on_the_day_that_brings_the_number() -> None:
    limit, days = at_least("many-lenders"), LIMITS["many-lenders"]["days"]
    told, known = [], Known()
    for n in range(limit + 3):
        some = [asked(NOON + timedelta(days=n), institution=f"i-{n}")]
        told += list(findings.many_lenders(DAY + timedelta(days=n), some, known, LIMITS))
        known.learn(DAY + timedelta(days=n), some)
    assert [found.day for found in told] == [DAY + timedelta(days=limit - 1)]
    spread, known = [], Known()
    for n in range(limit * 2):
        day = DAY + timedelta(days=n * (days // (limit - 1) + 1))
        some = [asked(NOON, institution=f"i-{n}")]
        spread += list(findings.many_lenders(day, some, known, LIMITS))
        known.learn(day, some)
    assert spread == []


@pytest.mark.parametrize("rule", ["unfit-purpose"])
def test_a_purpose_fits_the_kind_or_not(rule: str) -> None:
    known = Known(kinds={"i-1": "insurer", "i-2": "bank", "i-3": "other"})
    (found,) = judged(rule, [asked(purpose="pre_loan"), asked(purpose="insurance")], known)
    assert (found.count, found.about) == (1, {"institution": "i-1", "purpose": "pre_loan"})
    fitting = [asked(institution="i-2"), asked(institution="i-3", purpose="administration"), asked(institution="i-4")]
    assert judged(rule, fitting, known) == []


def test_a_client_is_dormant_after_so_many_whole_days_and_a_new_one_is_not() -> None:
    idle = timedelta(days=at_least("dormant-client"))
    (found,) = judged("dormant-client", [asked()], Known(last_act={"client:c-1": NOON - idle}))
    assert (found.count, found.about["client"]) == (idle.days, "c-1")
    almost = Known(last_act={"client:c-1": NOON - idle + timedelta(seconds=1)})
    assert judged("dormant-client", [asked()], almost) == []
    assert judged("dormant-client", [asked()]) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 5), st.booleans()), max_size=60))
def test_a_rule_never_counts_what_is_not_there_and_a_higher_limit_never_finds_more(
    told: list[tuple[int, int, int, bool]],
) -> None:
    some = [
        (refused if no else asked)(institution=f"i-{bank}", operator=f"OP-{who}", uscc=f"U-{firm}")
        for bank, who, firm, no in told
    ]
    ids = {act.id for act in some}
    numbers = []
    for factor in (0.05, 0.3, 1):
        found = list(findings.judged(DAY, some, Known(), findings.scaled(LIMITS, factor)))
        assert all(one.limit <= one.count <= len(some) and set(one.evidence) <= ids for one in found)
        numbers.append(len(found))
    assert numbers == sorted(numbers, reverse=True)


def history() -> dict[str, Any]:
    """On the trail itself: refusals in a night that spans midnight, and a client that was silent for long."""
    kind = {"kind": "insurer"}
    at(NOON - timedelta(days=400), type=Event.INSTITUTION_ADDED, institution="i-1", detail=kind, operator=None)
    at(NOON - timedelta(days=120), purpose="insurance")
    evening = datetime(2026, 3, 3, 15, 45, tzinfo=UTC)  # 23:45 in Shanghai
    refused_at = [evening + timedelta(minutes=n) for n in range(at_least("off-hours"))]
    changes: dict[str, Any] = {"type": Event.QUERY_REFUSED, "outcome": "refused", "purpose": "insurance"}
    written = [at(time, **changes, rule="class-not-covered").id for time in refused_at]
    at(NOON + timedelta(days=40), purpose="pre_loan")
    return {"night": tuple(written)}


def test_a_night_is_one_piece_and_only_the_days_that_are_asked_for_are_told(house: House) -> None:
    night = history()["night"]
    with db.reading() as reading:
        found = {one.rule: one for one in acts.findings(reading, DAY, DAY)}
        assert list(acts.findings(reading, DAY + timedelta(days=1), DAY + timedelta(days=39))) == []
        (unfit,) = acts.findings(reading, DAY + timedelta(days=40), DAY + timedelta(days=40))
    assert found.keys() == {"off-hours", "repeated-refusals", "dormant-client"}
    assert found["off-hours"].evidence == night[: findings.EVIDENCE]
    assert (found["dormant-client"].count, unfit.rule) == (120, "unfit-purpose")


def test_a_backtest_counts_at_half_at_once_and_at_twice_the_limit(house: House) -> None:
    history()
    with db.reading() as reading:
        counts = acts.backtest(reading, date(2026, 1, 1), date(2026, 12, 31))
    assert counts["off-hours"] == {"0.5": 1, "1.0": 1, "2.0": 0}
    assert counts["repeated-refusals"] == {"0.5": 1, "1.0": 1, "2.0": 1}
    assert counts["breadth"] == {"0.5": 0, "1.0": 0, "2.0": 0}
    assert counts.keys() == findings.RULES.keys()


def test_a_real_questions_history_is_read_as_it_was_written(client: FlaskClient) -> None:
    bank, enterprise = factories.bank(kind="investor"), factories.new_uscc()
    factories.deliver([factories.registration(1, enterprise)])
    consent = factories.consent(enterprise, bank)
    bearer = factories.token(bank)
    assert factories.ask(client, bearer, enterprise).status_code == 200
    with db.transaction() as tx:
        consents.revoke(tx, consent, factories.COUNTER)
    for _ in range(at_least("after-revocation")):
        assert factories.ask(client, bearer, enterprise).status_code == 403
    today = findings.working_day(clock.now(), LIMITS)
    asked_for = {"from": str(today), "to": str(today)}
    answer = client.get("/v1/audit/findings", query_string=asked_for, headers=officer()).json
    rules = {one["rule"]: one for one in answer["findings"]}
    assert {"after-revocation", "unfit-purpose"} <= rules.keys()
    assert rules["after-revocation"]["about"]["uscc"] == enterprise
    (view,) = client.get("/v1/audit/entries?type=staff.viewed", headers=officer()).json["entries"]
    assert view["detail"]["asked"] == asked_for


def test_findings_are_compliances_alone_and_of_a_month_at_most(client: FlaskClient) -> None:
    period = {"from": "2026-01-01", "to": "2026-01-31"}
    for bearer in (factories.signatory(factories.new_uscc()), factories.token(factories.bank())):
        answer = client.get("/v1/audit/findings", query_string=period, headers={"Authorization": f"Bearer {bearer}"})
        assert_problem(answer, 403, "insufficient-scope")
    for bad in ({**period, "to": "2026-02-01"}, {**period, "to": "2025-12-31"}, {"from": "2026-01-01"}):
        answer = client.get("/v1/audit/findings", query_string=bad, headers=officer())
        assert_problem(answer, 422, "invalid-field")
