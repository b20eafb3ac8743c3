# SPDX-License-Identifier: Apache-2.0
"""Invitations: nobody comes into an office that watches others by one person's hand, and no code is good twice."""

from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from access import invitations, models, people
from access.people import Newcomer
from kernel import auth, clock, db
from kernel.errors import BureauError, Conflict
from tests import factories
from tests.bureau.threads import at_once
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

PASSWORD = "five-small-lanterns"


def officer(role: str) -> dict[str, str]:
    """The header of a new person of a role."""
    token = factories.session(factories.person(role)[0], people.ROLE_SCOPES[role])
    return {"Authorization": f"Bearer {token}"}


def invite(client: FlaskClient, by: dict[str, str], role: str = "security", **more: Any) -> Any:
    body = {"role": role, "name": "演示·王五", **more}
    if role in people.STAFF:
        body.setdefault("staff_no", "0042")
    return client.post("/v1/invitations", json=body, headers=by)


def accept(client: FlaskClient, code: str, username: str = "wangwu", password: str = PASSWORD) -> Any:
    return client.post("/v1/invitations/accept", json={"code": code, "username": username, "password": password})


def test_a_security_officer_comes_by_two_hands_and_needs_both_halves(client: FlaskClient) -> None:
    invited = invite(client, officer("admin"))
    assert (invited.status_code, invited.json["status"]) == (201, "unconfirmed")
    half = invited.json["code"]
    assert_problem(accept(client, half), 404, "no-invitation")
    url = f"/v1/invitations/{invited.json['invitation_id']}/confirm"
    assert_problem(client.post(url, headers=officer("admin")), 403, "second-person-needed")
    confirmed = client.post(url, headers=officer("compliance"))
    assert (confirmed.status_code, confirmed.json["status"]) == (200, "open")
    assert_problem(client.post(url, headers=officer("security")), 409, "invitation-ended")
    other = confirmed.json["code"]
    for code in (half, other, f"{other}.{half}", f"{half}.", f"{half}.x", f"{half}.{half}"):
        assert_problem(accept(client, code), 404, "no-invitation")
    accepted = accept(client, f"{half}.{other}")
    assert (accepted.status_code, accepted.json) == (201, {"username": "wangwu", "role": "security"})
    signed_in = client.post("/v1/sessions", json={"username": "wangwu", "password": PASSWORD})
    assert signed_in.json["scopes"] == sorted(people.ROLE_SCOPES["security"])
    assert_problem(accept(client, f"{half}.{other}", "wangwu2"), 404, "no-invitation")


def test_a_signatory_and_the_finance_office_need_one_hand(client: FlaskClient) -> None:
    admin, uscc = officer("admin"), factories.new_uscc()
    for role, more in (("enterprise", {"uscc": uscc}), ("finance", {})):
        invited = invite(client, admin, role, **more).json
        assert invited["status"] == "open"
        confirming = client.post(f"/v1/invitations/{invited['invitation_id']}/confirm", headers=officer("security"))
        assert_problem(confirming, 409, "invitation-ended")
        assert accept(client, invited["code"], f"someone-{role}").status_code == 201
    listed = client.get("/v1/invitations?limit=1", headers=admin).json
    assert [each["status"] for each in listed["invitations"]] == ["accepted"]
    assert listed["next_cursor"]


def test_a_weak_password_or_a_taken_name_spends_no_code(client: FlaskClient) -> None:
    taken, _ = factories.person("finance")
    code = invite(client, officer("admin"), "finance").json["code"]
    for weak in ("short", "passwordpassword", "xxwangwuxxxx", "aaaaaaaaaaaaaaaa"):
        assert_problem(accept(client, code, password=weak), 422, "weak-password")
    assert_problem(accept(client, code, taken), 409, "username-taken")
    assert_problem(accept(client, code, "Bad Name"), 422, "invalid-field")
    assert accept(client, code).status_code == 201


def test_a_code_ends_after_seven_days_and_is_kept_as_a_hash(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = invite(client, officer("admin"), "finance").json["code"]
    with db.reading() as reading:
        row = reading.execute(select(models.invitation)).one()
    assert code.encode() not in str(row).encode()
    later = clock.now() + timedelta(days=7)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert_problem(accept(client, code), 404, "no-invitation")


def test_one_person_has_one_office(client: FlaskClient) -> None:
    admin = officer("admin")
    code = invite(client, admin, "finance").json["code"]
    assert accept(client, code).status_code == 201
    for role in people.STAFF:
        assert_problem(invite(client, admin, role), 409, "staff-number-taken")
    security = officer("security")
    assert client.post("/v1/people/wangwu/disable", headers=security).status_code == 204
    with db.transaction() as tx:
        people.add(tx, "compliance", staff_no="0042")
    assert_problem(client.post("/v1/people/wangwu/enable", headers=security), 409, "staff-number-taken")


def test_officers_do_nothing_about_themselves(client: FlaskClient) -> None:
    username, _ = factories.person("security")
    headers = {"Authorization": f"Bearer {factories.session(username, {'security'})}"}
    for act in ("disable", "totp/reset"):
        assert_problem(client.post(f"/v1/people/{username}/{act}", headers=headers), 403, "not-yourself")


def test_who_cannot_be_is_not_invited(client: FlaskClient) -> None:
    admin = officer("admin")
    bad: list[tuple[str, dict[str, Any]]] = [
        ("enterprise", {}),
        ("enterprise", {"uscc": "91320599MA0000000X"}),
        ("enterprise", {"uscc": factories.new_uscc(), "staff_no": "7"}),
        ("finance", {"uscc": factories.new_uscc()}),
        ("root", {}),
    ]
    for role, more in bad:
        assert invite(client, admin, role, **more).status_code == 422
    assert_problem(client.post("/v1/invitations/nothing/confirm", headers=officer("security")), 404, "not-found")


def test_of_many_who_use_one_code_at_one_moment_one_comes_in(open_house: House) -> None:
    admin, _ = factories.person("admin")
    by = auth.Principal(f"person:{admin}", frozenset(), person=admin, role="admin")
    with db.transaction() as tx:
        code = invitations.invite(tx, Newcomer("finance", None, "演示·王五", "0042"), by)["code"]

    def use(number: int) -> dict[str, str]:
        with db.transaction() as tx:
            return invitations.accept(tx, code, f"wangwu-{number}", PASSWORD)

    told = at_once([lambda number=number: use(number) for number in range(4)])  # type: ignore[misc]
    assert [isinstance(each, dict) for each in told].count(True) == 1, told
    assert all(isinstance(each, dict | BureauError) for each in told), told


def test_two_accounts_of_one_staff_number_are_refused_by_the_database_too(house: House) -> None:
    with db.transaction() as tx:
        people.add(tx, "admin", staff_no="0042")
        with pytest.raises(Conflict):
            people.add(tx, "security", staff_no="0042")
    twin = {"username": "twin", "password_hash": "x", "role": "security", "staff_no": "0042", "status": "active"}
    with pytest.raises(IntegrityError, match="staff_no"), db.transaction() as tx:
        tx.execute(models.person.insert().values(**twin, created_at=clock.now()))


def test_the_list_of_people_is_paged_and_that_it_was_seen_is_on_record(client: FlaskClient) -> None:
    admin = officer("admin")
    for _ in range(3):
        factories.person("finance")
    seen, cursor = [], ""
    while True:
        page = client.get(f"/v1/people?limit=2{cursor}", headers=admin).json
        seen += [each["username"] for each in page["people"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == sorted(set(seen))
    assert len(seen) == 4
    viewed = client.get("/v1/audit/entries", headers=officer("compliance"), query_string={"limit": 200}).json["entries"]
    views = [each for each in viewed if each["type"] == "staff.viewed"]
    assert [each["detail"]["what"] for each in views] == ["people"] * 3
    assert sum(each["detail"]["shown"] for each in views) == 4
