# SPDX-License-Identifier: Apache-2.0
"""Exports over HTTP: whole or by filters, provable offline, one person up to a limit, two beyond it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from access import people
from audit import export, exported, log, merkle, notes, review, sealing, takings
from audit.merkle import Frontier
from audit.models import entry as entries
from audit.notes import BadNote
from kernel import auth, clock, db, signing
from kernel.errors import Conflict
from tests import factories
from tests.audit.test_merkle import hashes, node
from tests.audit.test_rewards import answered, append
from tests.audit.test_sealing import ORIGIN
from tests.conftest import House
from tests.kernel.test_problems import assert_problem

SIZE = 40
Header = dict[str, str]


@pytest.fixture
def sealed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    append(monkeypatch, *(answered(f"u{number % 7}", "ij"[number % 2]) for number in range(SIZE)))
    sealing.seal(ORIGIN)


@pytest.fixture
def officer(sealed: None) -> Callable[[str], Header]:
    """A session of a new person of an office."""

    def enter(role: str = "compliance") -> Header:
        username, _ = factories.person(role)
        return {"Authorization": f"Bearer {factories.session(username, people.ROLE_SCOPES[role])}"}

    return enter


def keys() -> tuple[list[notes.Verifier], list[dict[str, Any]]]:
    with db.reading() as reading:
        return log.keys(reading, ORIGIN), signing.public_keys(reading, "export")


def checked(file: Path, content: bytes) -> exported.Checked:
    """What anyone does who was given the file."""
    file.write_bytes(content)
    trailer, (known, public) = exported.trailer_of(file), keys()
    if trailer is None:
        raise BadNote("cut off")
    with file.open("rb") as lines:
        found = exported.check(lines, trailer.proof, known)
    exported.check_choice(found, trailer, public)
    return found


def views() -> list[dict[str, Any]]:
    with db.reading() as reading:
        kept = reading.scalars(entries.select().with_only_columns(entries.c.bytes).order_by(entries.c.id))
        documents = [json.loads(content) for content in kept]
    return [one["detail"] for one in documents if one["type"] == "staff.viewed"]


@pytest.mark.parametrize("form", export.FORMS)
@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, 40),
        ({"leaf_from": "3", "leaf_to": "17"}, 14),
        ({"institution": "j"}, 20),
        ({"uscc": "u3", "leaf_from": "1", "leaf_to": "30"}, 4),
        ({"institution": "nobody"}, 0),
        ({"from": "2026-11-24T00:00:00Z", "to": "2026-11-25T00:00:00Z", "purpose": "pre_loan"}, 40),
        ({"from": "2026-11-25T00:00:00Z"}, 0),
    ],
)
def test_an_export_is_proved_and_a_dropped_line_is_found(
    client: FlaskClient, officer: Any, tmp_path: Path, form: str, asked: dict[str, str], shown: int
) -> None:
    answer = client.get("/v1/audit/exports", headers=officer(), query_string={**asked, "format": form})
    assert (answer.status_code, answer.content_type.partition(";")[0]) == (
        200, "application/x-ndjson" if form == "ndjson" else "text/csv"
    )  # fmt: skip
    file, lines = tmp_path / "log", answer.data.splitlines(keepends=True)
    assert checked(file, answer.data).lines == shown
    top = len(lines) - 1 - shown
    for gone in range(top, len(lines)):
        with pytest.raises(BadNote):
            checked(file, b"".join(lines[:gone] + lines[gone + 1 :]))
    with pytest.raises(BadNote):
        checked(file, answer.data + lines[-1])


def test_a_line_cannot_be_dropped_by_hiding_its_leaf_among_those_left_out(
    client: FlaskClient, officer: Any, tmp_path: Path
) -> None:
    lines = client.get("/v1/audit/exports", headers=officer(), query_string={"institution": "j"}).data.splitlines()
    first, second = json.loads(lines[4]), json.loads(lines[5])
    assert second["index"] == first["index"] + 2
    with db.reading() as reading:
        spans = merkle.spans(json.loads(lines[3])["index"] + 1, second["index"])
        second["skipped"] = b"".join(export._nodes(reading)(*span) for span in spans).hex()
    forged = [*lines[:4], json.dumps(second).encode(), *lines[6:]]
    with pytest.raises(BadNote, match="dropped or added: shown was 20 and is 19"):
        checked(tmp_path / "log", b"\n".join(forged))
    told = json.loads(lines[-1])
    del told["choice"], told["signature"]
    with pytest.raises(BadNote, match="leaves are left out"):
        checked(tmp_path / "log", b"\n".join([*forged[:-1], json.dumps(told).encode()]))


def test_one_taking_is_one_entry_that_tells_what_was_asked(client: FlaskClient, officer: Any) -> None:
    query = {"uscc": "u3", "operator": "OP-1", "from": "2026-11-24T00:00:00Z"}
    assert client.get("/v1/audit/exports", headers=officer(), query_string=query).status_code == 200
    (view,) = views()
    assert (view["what"], view["shown"]) == ("audit-export", 0)
    asked = {"uscc": "u3", "from": "2026-11-24T00:00:00.000000Z", "leaf_from": 0, "leaf_to": SIZE, "format": "ndjson"}
    assert view["asked"] == asked
    with db.reading() as reading:
        shown, _ = review.access_log(reading, "u3", None, 1)
    assert shown[0]["type"] == "staff.viewed"


def test_what_is_too_much_for_one_person_a_second_one_confirms(
    client: FlaskClient, officer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(takings, "ONE_PERSON", SIZE - 1)
    alice, bob = officer(), officer()
    path, requests = "/v1/audit/exports", "/v1/audit/export-requests"
    assert_problem(client.get(path, headers=alice), 403, "second-person-needed")
    body = {"reason": "演示：年度检查", "format": "csv", "leaf_to": SIZE}
    asked = client.post(requests, headers=alice, json=body)
    assert (asked.status_code, asked.json["status"], asked.json["shown"]) == (201, "requested", SIZE)
    query = {"request": asked.json["request_id"]}
    confirm = f"{requests}/{asked.json['request_id']}/confirm"
    assert_problem(client.get(path, headers=alice, query_string=query), 409, "not-in-this-state")
    assert_problem(client.post(confirm, headers=alice), 409, "second-person-needed")
    assert client.post(confirm, headers=bob).json["status"] == "confirmed"
    assert_problem(client.post(confirm, headers=bob), 409, "not-in-this-state")
    assert_problem(client.get(path, headers=bob, query_string=query), 404, "not-found")
    assert_problem(client.get(path, headers=alice, query_string=query | {"leaf_to": "3"}), 422, "invalid-field")
    taken = client.get(path, headers=alice, query_string=query)
    assert checked(tmp_path / "log", taken.data).lines == SIZE
    assert len(list(csv.reader(io.StringIO(taken.data.decode("utf-8-sig"))))) == SIZE + 2
    assert client.get(path, headers=alice, query_string=query).data == taken.data
    assert [each["status"] for each in client.get(requests, headers=bob).json["requests"]] == ["confirmed"]
    later = clock.now() + takings.TAKEN_WITHIN
    monkeypatch.setattr(clock, "now", lambda: later)
    who = auth.Principal(asked.json["requested_by"], frozenset())
    with pytest.raises(Conflict, match="expired"):
        takings.take_confirmed(asked.json["request_id"], who)


def test_a_request_by_filters_gives_what_they_find(client: FlaskClient, officer: Any, tmp_path: Path) -> None:
    alice, bob = officer(), officer()
    body = {"reason": "why", "from": "2026-11-24T00:00:00Z", "institution": "i"}
    asked = client.post("/v1/audit/export-requests", headers=alice, json=body).json
    assert (asked["shown"], asked["asked"]) == (20, {"from": "2026-11-24T00:00:00.000000Z", "institution": "i"})
    client.post(f"/v1/audit/export-requests/{asked['request_id']}/confirm", headers=bob)
    taken = client.get("/v1/audit/exports", headers=alice, query_string={"request": asked["request_id"]})
    assert checked(tmp_path / "log", taken.data).lines == 20


def test_many_small_ones_count_together(client: FlaskClient, officer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takings, "ONE_PERSON", 25)
    alice, half = officer(), {"institution": "i"}
    assert client.get("/v1/audit/exports", headers=alice, query_string=half).status_code == 200
    assert_problem(client.get("/v1/audit/exports", headers=alice, query_string=half), 403, "second-person-needed")
    assert client.get("/v1/audit/exports", headers=officer(), query_string=half).status_code == 200


@pytest.mark.parametrize("query", [{"leaf_to": "41"}, {"leaf_from": "40"}, {"leaf_from": "9", "leaf_to": "9"}])
def test_a_range_outside_of_the_log_is_refused_and_no_entry(client: FlaskClient, officer: Any, query: Any) -> None:
    assert_problem(client.get("/v1/audit/exports", headers=officer(), query_string=query), 422, "invalid-field")
    assert views() == []


def test_a_search_for_an_export_goes_through_all_its_pages(
    client: FlaskClient, officer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(takings, "PLACES_AT_ONCE", 3)
    monkeypatch.setattr(export, "CHOSEN_AT_ONCE", 4)
    taken = client.get("/v1/audit/exports", headers=officer(), query_string={"institution": "i"})
    assert checked(tmp_path / "log", taken.data).lines == 20
    monkeypatch.setattr(takings, "MAX_CHOSEN", 19)
    refused = client.get("/v1/audit/exports", headers=officer(), query_string={"institution": "i"})
    assert_problem(refused, 422, "too-many")


@given(st.integers(1, 300), st.data())
def test_any_leaves_and_the_subtrees_between_them_give_the_root(size: int, data: Any) -> None:
    places = sorted(data.draw(st.sets(st.integers(0, size - 1))))
    frontier = Frontier()
    for place in (*places, size):
        for height, index in merkle.spans(frontier.size, place):
            frontier.add(node(height, index), height)
        if place < size:
            frontier.add(hashes(size)[place])
    assert frontier.root == merkle.root(size, node)
