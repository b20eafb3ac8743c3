# SPDX-License-Identifier: Apache-2.0
"""The sources of the catalogue, onboarded by administrators; the registrations themselves are kept in `access`."""

from typing import Any

from flask import Response

from access import client_lists, clients, sources
from access.lifecycle import by_caller
from access.parties_schemas import (
    ActSchema,
    ClientListSchema,
    NewClientSchema,
    PartyPageSchema,
    SecretSchema,
    SourceApplicationSchema,
    SourceListSchema,
    SourceSchema,
    SourceTermsSchema,
)
from access.sources import Terms
from audit import trail
from bureau import catalogue
from kernel import cursors, db
from kernel.errors import Invalid, NotFound
from kernel.idempotency import settle
from kernel.web import Blueprint, json_response

blp = Blueprint("sources", __name__, url_prefix="/v1", description="Who may deliver")


@blp.route("/sources", methods=["POST"])
@blp.requires("admin")
@blp.arguments(SourceApplicationSchema())
@blp.response(201, SourceSchema)
def register_source(body: dict[str, Any]) -> Response:
    """Register a source of the catalogue; another administrator than oneself approves it."""
    code = body.pop("source")
    if code not in catalogue.current().sources:
        raise Invalid(f"the catalogue has no source {code}", errors={"source": ["unknown"]})

    def attempt() -> dict[str, Any]:
        with trail.recording() as tx:
            sources.apply_for(tx, code, Terms(**_tupled(body)), by_caller())
            return _named(sources.document(tx, code))

    return json_response(settle(attempt), 201)


@blp.route("/sources")
@blp.requires("admin")
@blp.arguments(PartyPageSchema(), location="query")
@blp.response(200, SourceListSchema)
def list_sources(asked: dict[str, Any]) -> Response:
    """The catalogue's sources, by code; one that was never registered is `unregistered` and may deliver."""
    after, limit = cursors.decode(asked.get("cursor")) or "", asked["limit"]
    with db.reading() as reading:
        registered = sources.registered(reading)
    codes = sorted(code for code in catalogue.current().sources if code > after)[:limit]
    page = [_named(registered.get(code) or _unregistered(code)) for code in codes]
    next_cursor = cursors.encode(codes[-1]) if len(codes) == limit else None
    return json_response({"sources": page, "next_cursor": next_cursor})


@blp.route("/sources/<code>")
@blp.requires("admin")
@blp.response(200, SourceSchema)
def show_source(code: str) -> Response:
    """One source with what its contract says."""
    _require_known(code)
    with db.reading() as reading:
        return json_response(_named(sources.registered(reading).get(code) or _unregistered(code)))


@blp.route("/sources/<code>", methods=["PATCH"])
@blp.requires("admin")
@blp.arguments(SourceTermsSchema())
@blp.response(200, SourceSchema)
def change_source(body: dict[str, Any], code: str) -> Response:
    """Change some of what a source's contract says."""
    with trail.recording() as tx:
        sources.change(tx, code, _tupled(body), by_caller())
        return json_response(_named(sources.document(tx, code)))


@blp.route("/sources/<code>/approve", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ActSchema())
@blp.response(200, SourceSchema)
def approve_source(body: dict[str, Any], code: str) -> Response:
    """Approve a source that somebody else registered."""
    return _act(code, "approve", body)


@blp.route("/sources/<code>/suspend", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ActSchema())
@blp.response(200, SourceSchema)
def suspend_source(body: dict[str, Any], code: str) -> Response:
    """Suspend a source, saying why; its next delivery is refused."""
    return _act(code, "suspend", body)


@blp.route("/sources/<code>/resume", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ActSchema())
@blp.response(200, SourceSchema)
def resume_source(body: dict[str, Any], code: str) -> Response:
    """End a suspension."""
    return _act(code, "resume", body)


@blp.route("/sources/<code>/close", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ActSchema())
@blp.response(200, SourceSchema)
def close_source(body: dict[str, Any], code: str) -> Response:
    """Close a source for good, saying why; what it delivered stays."""
    return _act(code, "close", body)


@blp.route("/sources/<code>/clients", methods=["POST"])
@blp.requires("admin")
@blp.arguments(NewClientSchema())
@blp.response(201, SecretSchema)
def add_source_client(body: dict[str, Any], code: str) -> Response:
    """Register a client of a source, with its keys, or with a secret that is shown this once."""
    _require_known(code)
    with trail.recording() as tx:
        client_id, secret = clients.add_as_asked(tx, code, body, is_source=True, by=by_caller())
    return json_response({"client_id": client_id, "client_secret": secret}, 201)


@blp.route("/sources/<code>/clients")
@blp.requires("admin")
@blp.arguments(PartyPageSchema(), location="query")
@blp.response(200, ClientListSchema)
def list_source_clients(asked: dict[str, Any], code: str) -> Response:
    """A source's clients, the newest first, with the life of their secrets."""
    _require_known(code)
    before, limit = cursors.decode(asked.get("cursor")), asked["limit"]
    with db.reading() as reading:
        page = client_lists.listed(reading, code, before, limit)
    next_cursor = cursors.encode(page[-1]["client_id"]) if len(page) == limit else None
    return json_response({"clients": page, "next_cursor": next_cursor})


def _act(code: str, what: str, body: dict[str, Any]) -> Response:
    with trail.recording() as tx:
        sources.act(tx, code, what, by_caller(), body["reason"])
        return json_response(_named(sources.document(tx, code)))


def _require_known(code: str) -> None:
    if code not in catalogue.current().sources:
        raise NotFound(f"the catalogue has no source {code}")


def _unregistered(code: str) -> dict[str, Any]:
    return {"source": code, "status": "unregistered", "networks": []}


def _named(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "name": catalogue.current().sources[document["source"]].name_zh}


def _tupled(terms: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in terms.items()}
