# SPDX-License-Identifier: Apache-2.0
"""schemathesis: the API under generated requests, good and bad, answers only what its document says."""

import base64
import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from flask import Flask
from schemathesis import engine
from schemathesis.engine import events

from access import clients, people, sources, switch, tokens
from kernel import db
from tests import factories
from tests.conftest import House

MAX_EXAMPLES = 15  # of each operation, beside the boundaries that the coverage phase tries one by one
EXCLUDED = {
    # A cursor must be one that a list gave, and a USCC has a check symbol: no schema can say so.
    "positive_data_acceptance": {"enabled": False},
    # It calls a WSGI application with arguments that only `requests` knows; the document's `security` is held
    # against the routes in test_openapi.py, and the routes against callers without a token in tests/access.
    "ignored_auth": {"enabled": False},
}


def client_credentials(uscc: str, bank: str) -> str:
    del uscc
    with db.transaction() as tx:
        client_id, secret = clients.add(tx, bank, ("credit:query",))
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def staff() -> str:
    """All offices of the bureau's staff in one, as nobody has them: here only the answers' forms are tried."""
    scopes = frozenset().union(*(people.ROLE_SCOPES[role] for role in people.STAFF))
    return factories.session(factories.person("security")[0], scopes)


def source() -> str:
    with db.transaction() as tx:
        client_id, _ = clients.add(tx, "S01", clients.SOURCE_SCOPES, is_source=True)
        scopes = frozenset(clients.SOURCE_SCOPES)
        return tokens.issue(tx, scopes, tokens.CLIENT_TOKEN_LIFE, client_id=client_id)[0]


@schemathesis.serializer("application/x-ndjson", "application/jsonl")
def lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Rows as they are pushed: what is generated is the text itself."""
    return str(value).encode(errors="surrogatepass")


CALLERS: dict[str, tuple[Callable[[str, str], str], str]] = {
    "an institution": (
        lambda uscc, bank: f"Bearer {factories.token(bank)}",
        r"^/(?!oauth/|v1/sessions/current)",
    ),
    "an enterprise": (lambda uscc, bank: f"Bearer {factories.signatory(uscc)}", r"^/v1/(?!sessions)"),
    "an enterprise that leaves": (
        lambda uscc, bank: f"Bearer {factories.signatory(uscc)}",
        r"^/v1/sessions/current",
    ),
    "the staff": (
        lambda uscc, bank: f"Bearer {staff()}",
        r"^/v1/(institutions|clients|sources|switches|coverage|audit|reward|people|invitations)",
    ),
    "a client": (client_credentials, r"^/oauth/"),
    "a source": (lambda uscc, bank: f"Bearer {source()}", r"^/v1/batches"),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_whatever_is_asked_the_answer_is_as_documented(house: House, app: Flask, caller: str) -> None:
    uscc, bank = factories.new_uscc(), factories.bank()
    factories.deliver([factories.registration(1, uscc)])
    consent = factories.consent(uscc, bank)
    delivery = factories.deliver([factories.registration(1, uscc)], feed="market-regulation-register")
    answered = factories.ask(app.test_client(), factories.token(bank), uscc).json
    authorize, paths = CALLERS[caller]
    config: dict[str, Any] = {
        "headers": {"Authorization": authorize(uscc, bank)},
        "continue-on-failure": True,
        "generation": {"max-examples": MAX_EXAMPLES, "deterministic": True, "database": "none"},
        "phases": {"stateful": {"enabled": False}},
        "checks": EXCLUDED,
    }
    if house.engine == "sqlite":
        # Here what is asked about is there; on PostgreSQL it is made up, and the boundaries are tried too.
        parties = registered(bank) if caller == "the staff" else {}
        known = parties | {"consent_id": consent, "query_id": answered["query_id"], "uscc": uscc}
        config["parameters"] = {f"path.{name}": value for name, value in known.items()}
        config["parameters"] |= {"path.batch_id": delivery.batch, "query.feed": delivery.feed}
        config["phases"]["coverage"] = {"enabled": False}
    schema = load(app, config).include(path_regex=paths)
    if house.engine == "sqlite":
        schema.hook("map_body")(about(uscc))

    statuses, failures = run(schema)

    assert failures == []
    if house.engine == "sqlite":
        assert done_by(caller) <= statuses, "no example got through: what was tried?"


def test_an_untrue_document_would_be_found(house: House, app: Flask) -> None:
    document = copy.deepcopy(app.extensions["bureau_openapi"])
    del document["paths"]["/v1/consents"]["get"]["responses"]["401"]
    document["components"]["schemas"]["Metadata"]["required"].append("registration_endpoint")
    app.extensions["bureau_openapi"] = document
    few = {"generation": {"max-examples": 1, "database": "none"}, "phases": {"coverage": {"enabled": False}}}
    schema = load(app, few)
    _, failures = run(schema.include(path_regex="^/v1/consents$|^/.well-known"))
    assert [failure.split(": ")[:2] for failure in failures] == [
        ["GET /.well-known/oauth-authorization-server", "response_schema_conformance"],
        ["GET /v1/consents", "status_code_conformance"],
    ]


def done_by(caller: str) -> set[tuple[str, int]]:
    """What must have succeeded at least once for the answers to have been seen."""
    return {
        "an institution": {
            ("POST /v1/credit-queries", 200),
            ("GET /v1/credit-queries/{query_id}", 200),
            ("GET /v1/consents", 200),
            ("GET /v1/consents/{consent_id}", 200),
        },
        "an enterprise": {
            ("POST /v1/consents", 201),
            ("POST /v1/consents/{consent_id}/revoke", 200),
            ("GET /v1/consents/{consent_id}", 200),
            ("GET /v1/enterprises/{uscc}/access-log", 200),
        },
        "an enterprise that leaves": {("DELETE /v1/sessions/current", 204)},
        "the staff": {
            ("POST /v1/institutions", 201),
            ("GET /v1/institutions", 200),
            ("POST /v1/clients/{client_id}/rotate", 200),
            ("POST /v1/clients/{client_id}/disable", 200),
            ("GET /v1/sources", 200),
            ("GET /v1/switches", 200),
            ("DELETE /v1/switches/{target}", 204),
        },
        "a source": {("GET /v1/batches/{batch_id}", 200), ("POST /v1/batches", 202)},
        "a client": {
            ("POST /oauth/token", 200),
            ("POST /oauth/introspect", 200),
            ("POST /oauth/revoke", 200),
        },
    }[caller]


def registered(bank: str) -> dict[str, str]:
    """What the staff finds: a client, a source, and all clients stopped."""
    with db.transaction() as tx:
        switch.stop(tx, "all", None, "演练")
        sources.add(tx, "S01")
        client_id, _ = clients.add(tx, bank, ("credit:query",))
    return {"institution_id": bank, "client_id": client_id, "code": "S01", "target": "all"}


def load(app: Flask, config: dict[str, Any]) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", app, config=schemathesis.Config.from_dict(config))


def about(uscc: str) -> Callable[..., Any]:
    """A hook that lets well-formed questions and grants be about an enterprise that is really there."""

    def map_body(_context: schemathesis.HookContext, body: Any) -> Any:
        if not isinstance(body, dict) or not isinstance(body.get("uscc"), str):
            return body
        return {**body, "uscc": uscc, **({"grantee": "platform"} if "purposes" in body else {})}

    return map_body


def run(schema: schemathesis.BaseSchema) -> tuple[set[tuple[str, int]], list[str]]:
    """Which operations answered with which statuses, and what was wrong, each kind once for an operation."""
    statuses, failures = set(), set()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Generating overly large repr")  # Hypothesis's own, about its data
        for event in engine.from_schema(schema).execute():
            if isinstance(event, events.NonFatalError | events.FatalError):
                failures.add(str(event.info if isinstance(event, events.NonFatalError) else event.exception))
            elif isinstance(event, events.ScenarioFinished):
                answers = (exchange.response for exchange in event.recorder.interactions.values())
                statuses |= {(event.label or "", answer.status_code) for answer in answers if answer}
                failures |= set(_failures(event))
    return statuses, sorted(failures)


def _failures(finished: events.ScenarioFinished) -> list[str]:
    return [
        f"{finished.label}: {check.name}: {check.failure_info.failure.message}"
        for checks in finished.recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    ]
