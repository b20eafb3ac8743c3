# SPDX-License-Identifier: Apache-2.0
"""An institution asks, an enterprise answers: whole, narrowed, not at all; and suspension needs two people."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from access import people, tokens
from audit.models import entry as entries
from consent import policy, suspension
from kernel import clock, db, ids
from kernel.models import outbox
from tests import factories
from tests.kernel.test_problems import assert_problem

SCOPES = ("credit:query", "consent:request", "consent:read")


class Caller:
    def __init__(self, client: FlaskClient, bearer: str) -> None:
        self.client, self.headers = client, {"Authorization": f"Bearer {bearer}"}
        self.bearer = bearer

    def get(self, path: str) -> Any:
        return self.client.get(f"/v1{path}", headers=self.headers)

    def post(self, path: str, body: Any = None) -> Any:
        keyed = {**self.headers, "Idempotency-Key": ids.new_id()}
        return self.client.post(f"/v1{path}", json=body or {}, headers=keyed)


class Scene:
    """A bank, another bank, an enterprise, two of the bureau's staff."""

    def __init__(self, client: FlaskClient) -> None:
        self.institution, self.uscc, self.client = factories.bank(), factories.new_uscc(), client
        self.bank = Caller(client, factories.token(self.institution, SCOPES))
        self.rival = Caller(client, factories.token(factories.bank(), SCOPES))
        self.firm = Caller(client, factories.signatory(self.uscc))
        self.stranger = Caller(client, factories.signatory(factories.new_uscc()))

    def staff(self) -> Caller:
        username, _ = factories.person("compliance")
        with db.transaction() as tx:
            scopes = people.ROLE_SCOPES["compliance"] | {"consent:suspend"}
            return Caller(self.client, tokens.issue(tx, scopes, tokens.SESSION_LIFE, username=username)[0])

    def request(self, **changes: Any) -> Any:
        terms = {"uscc": self.uscc, "classes": [1, 2, 3], "purposes": ["pre_loan", "post_loan"]}
        return self.bank.post("/consent-requests", {**terms, **changes})

    def asks(self) -> Any:
        answer = factories.ask(self.client, self.bank.bearer, self.uscc)
        return answer.status_code if answer.status_code == 200 else answer.json["type"].rsplit("/", 1)[1]


@pytest.fixture
def scene(client: FlaskClient) -> Scene:
    return Scene(client)


def test_a_request_waits_in_the_inbox_and_decides_nothing(scene: Scene) -> None:
    asked = scene.request()
    assert (asked.status_code, asked.json["status"], asked.json["granted_at"]) == (201, "requested", None)
    assert scene.asks() == "no-consent"
    for caller, count in ((scene.firm, 1), (scene.bank, 1), (scene.rival, 0), (scene.stranger, 0)):
        assert len(caller.get("/consent-requests").json["consents"]) == count
    approved = scene.firm.post(f"/consent-requests/{asked.json['consent_id']}/approve")
    assert (approved.status_code, approved.json["status"], approved.json["version"]) == (200, "active", 2)
    assert approved.json["previous"] is not None
    assert scene.asks() == 200
    assert scene.firm.get("/consent-requests").json["consents"] == []


def test_an_approval_may_narrow_and_never_widen(scene: Scene) -> None:
    consent_id = scene.request(max_queries=5).json["consent_id"]
    path = f"/consent-requests/{consent_id}/approve"
    for wider in ({"classes": [1, 4]}, {"purposes": ["insurance"]}, {"max_queries": 6}):
        assert_problem(scene.firm.post(path, wider), 422, "invalid-field")
    narrowed = scene.firm.post(path, {"classes": [1], "purposes": ["pre_loan"], "max_queries": 1})
    assert (narrowed.json["classes"], narrowed.json["purposes"], narrowed.json["max_queries"]) == ([1], ["pre_loan"], 1)
    assert [scene.asks(), scene.asks()] == [200, "quota-exhausted"]


EVERY_MONTH = {"count": 10, "per": "month"}


@pytest.mark.parametrize(
    ("asked", "granted", "is_narrower"),
    [
        ({"frequency": EVERY_MONTH}, {"frequency": {"count": 9, "per": "month"}}, True),
        ({"frequency": EVERY_MONTH}, {"frequency": {"count": 11, "per": "month"}}, False),
        ({"frequency": EVERY_MONTH}, {"frequency": {"count": 10, "per": "year"}}, True),
        ({"frequency": EVERY_MONTH}, {"frequency": {"count": 11, "per": "year"}}, False),
        ({"frequency": EVERY_MONTH}, {"frequency": {"count": 1, "per": "week"}}, True),
        ({"frequency": EVERY_MONTH}, {"frequency": {"count": 2, "per": "week"}}, False),
        ({"frequency": EVERY_MONTH}, {"frequency": {"count": 1, "per": "day"}}, False),
        ({}, {"frequency": {"count": 1000, "per": "day"}}, True),
        ({"history": {"months": 36}}, {"history": {"months": 12}}, True),
        ({"history": {"months": 36}}, {"history": {"months": 37}}, False),
        ({}, {"history": {"months": 600}}, True),
    ],
)
def test_frequency_and_history_can_be_narrowed_too(
    scene: Scene, asked: dict[str, Any], granted: dict[str, Any], is_narrower: bool
) -> None:
    path = f"/consent-requests/{scene.request(**asked).json['consent_id']}/approve"
    answer = scene.firm.post(path, granted)
    if is_narrower:
        assert {name: answer.json[name] for name in granted} == granted
    else:
        assert_problem(answer, 422, "invalid-field")
        assert answer.json["errors"].keys() == granted.keys()
        approved = scene.firm.post(path).json
        assert {name: approved[name] for name in asked} == asked


def test_narrowed_limits_bite(scene: Scene) -> None:
    consent_id = scene.request().json["consent_id"]
    scene.firm.post(f"/consent-requests/{consent_id}/approve", {"frequency": {"count": 1, "per": "year"}})
    assert [scene.asks(), scene.asks()] == [200, "quota-exhausted"]


def test_what_is_left_of_a_request_lies_within_the_policy(scene: Scene) -> None:
    consent_id = scene.request(purposes=["pre_loan", "trade_credit"], products=["screening"], classes=[3]).json
    path = f"/consent-requests/{consent_id['consent_id']}/approve"
    useless = scene.firm.post(path, {"purposes": ["trade_credit"]})  # which is never screened for
    assert_problem(useless, 422, "beyond-policy")
    assert useless.json["rule"] == "trade_credit.products"
    assert_problem(scene.firm.post(path, {"history": {"months": 60}}), 422, "beyond-policy")
    assert scene.firm.post(path, {"purposes": ["pre_loan"], "history": {"months": 60}}).status_code == 200


def test_a_rejected_request_stays_rejected(scene: Scene) -> None:
    consent_id = scene.request().json["consent_id"]
    rejected = scene.firm.post(f"/consent-requests/{consent_id}/reject", {"reason": "不需要"})
    assert (rejected.json["status"], rejected.json["reason"]) == ("rejected", "不需要")
    for act in ("approve", "reject"):
        assert_problem(scene.firm.post(f"/consent-requests/{consent_id}/{act}"), 409, "consent-ended")
    assert_problem(scene.firm.post(f"/consents/{consent_id}/revoke"), 409, "consent-ended")
    assert scene.asks() == "no-consent"


def test_a_request_lapses_by_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    consent_id = scene.request().json["consent_id"]
    later = clock.now() + policy.current().request_life + timedelta(seconds=1)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: later)
        bank, firm = Scene(scene.client).bank, Caller(scene.client, factories.signatory(scene.uscc))
        assert firm.get(f"/consents/{consent_id}").json["status"] == "lapsed"
        assert_problem(firm.post(f"/consent-requests/{consent_id}/approve"), 409, "consent-ended")
        assert bank.get(f"/consents/{consent_id}").status_code == 404


def test_approving_supersedes_the_consent_that_stood(scene: Scene) -> None:
    old = factories.consent(scene.uscc, scene.institution)
    new = scene.request().json["consent_id"]
    assert scene.firm.post(f"/consent-requests/{new}/approve").status_code == 200
    assert scene.firm.get(f"/consents/{old}").json["status"] == "superseded"
    with db.reading() as reading:
        said = reading.scalars(select(entries.c.bytes).where(entries.c.consent == new)).all()
    assert any(old.encode() in leaf for leaf in said)


def test_nobody_else_may_see_or_answer_a_request(scene: Scene) -> None:
    consent_id = scene.request().json["consent_id"]
    for act in ("approve", "reject"):
        assert_problem(scene.stranger.post(f"/consent-requests/{consent_id}/{act}"), 404, "not-found")
        assert_problem(scene.bank.post(f"/consent-requests/{consent_id}/{act}"), 403, "insufficient-scope")
    assert_problem(scene.rival.get(f"/consents/{consent_id}"), 404, "not-found")
    assert scene.bank.get(f"/consents/{consent_id}").status_code == 200


def test_an_inbox_is_not_flooded(scene: Scene) -> None:
    assert [scene.request().status_code for _ in range(4)] == [201, 201, 201, 409]
    assert_problem(scene.request(), 409, "requests-open")


def test_a_request_once_per_key(scene: Scene) -> None:
    headers = {**scene.bank.headers, "Idempotency-Key": "k"}
    body = {"uscc": scene.uscc, "classes": [1], "purposes": ["pre_loan"]}
    first, again = (scene.client.post("/v1/consent-requests", json=body, headers=headers) for _ in range(2))
    assert (first.status_code, again.data) == (201, first.data)
    assert len(scene.bank.get("/consent-requests").json["consents"]) == 1


def test_a_request_beyond_the_policy_names_rule_and_limit(scene: Scene) -> None:
    refused = scene.request(purposes=["trade_credit"], history={"months": 40})
    assert_problem(refused, 422, "beyond-policy")
    assert (refused.json["rule"], refused.json["limit"]) == ("trade_credit.widest_history_months", 36)


def test_a_paused_consent_refuses_until_it_is_resumed(scene: Scene) -> None:
    consent_id = factories.consent(scene.uscc, scene.institution)
    assert scene.firm.post(f"/consents/{consent_id}/pause").json["status"] == "paused"
    assert scene.asks() == "consent-paused"
    assert_problem(scene.firm.post(f"/consents/{consent_id}/pause"), 409, "consent-state")
    assert scene.firm.post(f"/consents/{consent_id}/resume").json["status"] == "active"
    assert scene.asks() == 200
    assert_problem(scene.stranger.post(f"/consents/{consent_id}/pause"), 404, "not-found")


@pytest.mark.parametrize("paused", [False, True])
def test_suspension_takes_two_people_and_so_does_its_end(scene: Scene, paused: bool) -> None:
    consent_id = factories.consent(scene.uscc, scene.institution)
    if paused:
        scene.firm.post(f"/consents/{consent_id}/pause")
    before = scene.asks()
    one, two = scene.staff(), scene.staff()
    suspend, reinstate = f"/consents/{consent_id}/suspend", f"/consents/{consent_id}/reinstate"
    proposed = one.post(suspend, {"reason": "授权书存疑"})
    assert (proposed.status_code, proposed.json["status"]) == (202, "paused" if paused else "active")
    assert scene.asks() == before
    assert_problem(one.post(suspend), 409, "second-person-needed")
    assert_problem(scene.firm.post(suspend), 403, "insufficient-scope")
    done = two.post(suspend, {"reason": "授权书存疑"})
    assert (done.status_code, done.json["status"]) == (200, "suspended")
    assert scene.asks() == "consent-suspended"
    for act in ("pause", "resume"):
        assert_problem(scene.firm.post(f"/consents/{consent_id}/{act}"), 409, "consent-suspended")
    grant = {"uscc": scene.uscc, "grantee": scene.institution, "classes": [1], "purposes": ["pre_loan"]}
    assert_problem(scene.firm.post("/consents", grant), 409, "consent-suspended")
    assert (two.post(reinstate).status_code, one.post(reinstate).status_code) == (202, 200)
    assert scene.asks() == before


def test_a_suspended_consent_may_still_be_revoked_by_the_enterprise(scene: Scene) -> None:
    consent_id = factories.consent(scene.uscc, scene.institution)
    for each in (scene.staff(), scene.staff()):
        each.post(f"/consents/{consent_id}/suspend")
    assert scene.firm.post(f"/consents/{consent_id}/revoke").json["status"] == "revoked"
    assert scene.asks() == "no-consent"


def test_a_proposal_that_nobody_confirms_lapses(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    consent_id = factories.consent(scene.uscc, scene.institution)
    assert scene.staff().post(f"/consents/{consent_id}/suspend").status_code == 202
    later = clock.now() + suspension.PROPOSAL_LIFE
    monkeypatch.setattr(clock, "now", lambda: later)
    assert scene.staff().post(f"/consents/{consent_id}/suspend").status_code == 202


def test_why_a_consent_was_suspended_is_kept_and_nobody_is_warned_by_the_proposal(scene: Scene) -> None:
    consent_id = factories.consent(scene.uscc, scene.institution)
    with db.reading() as reading:
        told_before = reading.scalar(select(func.count()).select_from(outbox))
    scene.staff().post(f"/consents/{consent_id}/suspend", {"reason": "授权书存疑"})
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(outbox)) == told_before
        proposal = select(entries.c.bytes).where(entries.c.type == "consent.suspension-proposed")
        assert orjson.loads(reading.scalar(proposal) or b"")["detail"]["reason"] == "授权书存疑"
    done = scene.staff().post(f"/consents/{consent_id}/suspend")
    assert (done.json["status"], done.json["reason"]) == ("suspended", "授权书存疑")
    with db.reading() as reading:
        assert reading.scalar(select(func.count()).select_from(outbox)) == told_before + 1


def test_every_step_is_on_the_trail_with_the_digest_of_its_version(scene: Scene) -> None:
    consent_id = factories.consent(scene.uscc, scene.institution)
    one, two = scene.staff(), scene.staff()
    for caller, act in ((scene.firm, "pause"), (scene.firm, "resume"), (one, "suspend"), (two, "suspend"),
                        (two, "reinstate"), (one, "reinstate"), (scene.firm, "revoke")):  # fmt: skip
        caller.post(f"/consents/{consent_id}/{act}")
    with db.reading() as reading:
        told = reading.scalars(select(entries.c.type).where(entries.c.consent == consent_id).order_by(entries.c.id))
        assert [kind.removeprefix("consent.") for kind in told] == [
            "granted", "paused", "resumed", "suspension-proposed", "suspended", "reinstatement-proposed", "reinstated",
            "revoked",
        ]  # fmt: skip
