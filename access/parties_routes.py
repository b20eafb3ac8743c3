# SPDX-License-Identifier: Apache-2.0
"""Institutions, the clients of institutions and sources, and the kill switch: for administrators and security.

What is done here can be done at the counter too (app/cli/parties.py). Sources have their routes in `bureau`, which
knows the catalogue.
"""

from datetime import timedelta
from typing import Any

from flask import Response

from access import client_lists, clients, institutions, switch
from access.institutions import Terms
from access.lifecycle import by_caller
from access.parties_schemas import (
    ActSchema,
    ApplicationSchema,
    ClientLimitSchema,
    ClientListSchema,
    ClientSchema,
    InstitutionListSchema,
    InstitutionSchema,
    InstitutionTermsSchema,
    NewInstitutionClientSchema,
    PartyPageSchema,
    RedirectsSchema,
    RegistrationsPageSchema,
    RotationSchema,
    SecretSchema,
    StopSchema,
    SwitchListSchema,
    SwitchSchema,
)
from audit import trail
from kernel import cursors, db
from kernel.errors import Invalid
from kernel.idempotency import settle
from kernel.web import Blueprint, json_response

blp = Blueprint("parties", __name__, url_prefix="/v1", description="Who may call: onboarding and the kill switch")


@blp.route("/institutions", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ApplicationSchema())
@blp.response(201, InstitutionSchema)
def register_institution(body: dict[str, Any]) -> Response:
    """Register an institution; another administrator than oneself approves it."""
    terms = {name: value for name, value in body.items() if name not in ("name", "kind")}

    def attempt() -> dict[str, Any]:
        with trail.recording() as tx:
            added = institutions.apply_for(tx, body["name"], body["kind"], Terms(**_tupled(terms)), by_caller())
            return institutions.document(tx, added)

    return json_response(settle(attempt), 201)


@blp.route("/institutions")
@blp.requires("admin")
@blp.arguments(RegistrationsPageSchema(), location="query")
@blp.response(200, InstitutionListSchema)
def list_institutions(asked: dict[str, Any]) -> Response:
    """Institutions, the newest first."""
    before, limit = cursors.decode(asked.get("cursor")), asked["limit"]
    with db.reading() as reading:
        page = institutions.listed(reading, before, limit, asked.get("status"))
    return json_response({"institutions": page, "next_cursor": _next(page, limit, "institution")})


@blp.route("/institutions/<institution_id>")
@blp.requires("admin")
@blp.response(200, InstitutionSchema)
def show_institution(institution_id: str) -> Response:
    """One institution with what its contract allows."""
    with db.reading() as reading:
        return json_response(institutions.document(reading, institution_id))


@blp.route("/institutions/<institution_id>", methods=["PATCH"])
@blp.requires("admin")
@blp.arguments(InstitutionTermsSchema())
@blp.response(200, InstitutionSchema)
def change_institution(body: dict[str, Any], institution_id: str) -> Response:
    """Change some of what its contract allows; counts from the next request on."""
    with trail.recording() as tx:
        institutions.change(tx, institution_id, _tupled(body), by_caller())
        return json_response(institutions.document(tx, institution_id))


@blp.route("/institutions/<institution_id>/approve", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ActSchema())
@blp.response(200, InstitutionSchema)
def approve_institution(body: dict[str, Any], institution_id: str) -> Response:
    """Approve an institution that somebody else registered."""
    return _act(institution_id, "approve", body)


@blp.route("/institutions/<institution_id>/suspend", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ActSchema())
@blp.response(200, InstitutionSchema)
def suspend_institution(body: dict[str, Any], institution_id: str) -> Response:
    """Suspend an institution, saying why; its next question is refused."""
    return _act(institution_id, "suspend", body)


@blp.route("/institutions/<institution_id>/resume", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ActSchema())
@blp.response(200, InstitutionSchema)
def resume_institution(body: dict[str, Any], institution_id: str) -> Response:
    """End a suspension."""
    return _act(institution_id, "resume", body)


@blp.route("/institutions/<institution_id>/close", methods=["POST"])
@blp.requires("admin")
@blp.arguments(ActSchema())
@blp.response(200, InstitutionSchema)
def close_institution(body: dict[str, Any], institution_id: str) -> Response:
    """Close an institution for good, saying why; its tokens end."""
    return _act(institution_id, "close", body)


@blp.route("/institutions/<institution_id>/clients", methods=["POST"])
@blp.requires("admin")
@blp.arguments(NewInstitutionClientSchema())
@blp.response(201, SecretSchema)
def add_client(body: dict[str, Any], institution_id: str) -> Response:
    """Register a client of an institution, with its keys, or with a secret that is shown this once."""
    with trail.recording() as tx:
        client_id, secret = clients.add_as_asked(tx, institution_id, body, by=by_caller())
    return json_response({"client_id": client_id, "client_secret": secret}, 201)


@blp.route("/institutions/<institution_id>/clients")
@blp.requires("admin")
@blp.arguments(PartyPageSchema(), location="query")
@blp.response(200, ClientListSchema)
def list_clients(asked: dict[str, Any], institution_id: str) -> Response:
    """An institution's clients, the newest first, with the life of their secrets."""
    before, limit = cursors.decode(asked.get("cursor")), asked["limit"]
    with db.reading() as reading:
        institutions.document(reading, institution_id)
        page = client_lists.listed(reading, institution_id, before, limit)
    return json_response({"clients": page, "next_cursor": _next(page, limit, "client_id")})


@blp.route("/clients/<client_id>", methods=["PATCH"])
@blp.requires("admin")
@blp.arguments(ClientLimitSchema())
@blp.response(200, ClientSchema)
def limit_client(body: dict[str, Any], client_id: str) -> Response:
    """Set a client's own limit of requests a second."""
    with trail.recording() as tx:
        clients.limit(tx, client_id, body["per_second"], by_caller())
        return json_response(client_lists.document(tx, client_id))


@blp.route("/clients/<client_id>/redirect-uris", methods=["PUT"])
@blp.requires("admin")
@blp.arguments(RedirectsSchema())
@blp.response(200, ClientSchema)
def redirect_client(body: dict[str, Any], client_id: str) -> Response:
    """Replace the addresses to which an enterprise's answer may be sent."""
    with trail.recording() as tx:
        clients.redirect_to(tx, client_id, tuple(body["redirect_uris"]), by_caller())
        return json_response(client_lists.document(tx, client_id))


@blp.route("/clients/<client_id>/rotate", methods=["POST"])
@blp.requires("admin")
@blp.arguments(RotationSchema())
@blp.response(200, SecretSchema)
def rotate_client(body: dict[str, Any], client_id: str) -> Response:
    """Give a client a new secret, shown this once, or other keys; what it had works on for the overlap."""
    overlap, keys = timedelta(hours=body["overlap_hours"]), clients.keys_as_asked(body)
    with trail.recording() as tx:
        if keys is not None:
            clients.rotate_keys(tx, client_id, keys, overlap, by_caller())
        secret = clients.rotate(tx, client_id, overlap, by_caller()) if keys is None else None
    return json_response({"client_id": client_id, "client_secret": secret})


@blp.route("/clients/<client_id>/disable", methods=["POST"])
@blp.requires("admin")
@blp.response(200, ClientSchema)
def disable_client(client_id: str) -> Response:
    """Disable a client; its secrets and tokens fail from the next request on."""
    with trail.recording() as tx:
        clients.disable(tx, client_id, by_caller())
        return json_response(client_lists.document(tx, client_id))


@blp.route("/clients/<client_id>/enable", methods=["POST"])
@blp.requires("admin")
@blp.response(200, ClientSchema)
def enable_client(client_id: str) -> Response:
    """Take a disabling back."""
    with trail.recording() as tx:
        clients.enable(tx, client_id, by_caller())
        return json_response(client_lists.document(tx, client_id))


@blp.route("/switches", methods=["POST"])
@blp.requires("security")
@blp.arguments(StopSchema())
@blp.response(201, SwitchSchema)
def stop(body: dict[str, Any]) -> Response:
    """Stop a client, an institution, or all clients, from the next request on."""
    if (body["target"] == "all") != (body["id"] is None):
        raise Invalid("a client or an institution, and not all, has an id", errors={"id": ["see detail"]})

    def attempt() -> dict[str, Any]:
        with trail.recording() as tx:
            return switch.stop(tx, body["target"], body["id"], body["reason"], by_caller())

    return json_response(settle(attempt), 201)


@blp.route("/switches")
@blp.requires("security")
@blp.response(200, SwitchListSchema)
def list_switches() -> Response:
    """What is stopped now. Few: one page holds them all."""
    with db.reading() as reading:
        return json_response({"switches": switch.list_all(reading), "next_cursor": None})


@blp.route("/switches/<target>", methods=["DELETE"])
@blp.requires("security")
@blp.response(204)
def start(target: str) -> Response:
    """Take a stop back, by its name: all, client:ID or institution:ID."""
    with trail.recording() as tx:
        switch.start(tx, target, by_caller())
    return Response(status=204)


def _act(institution_id: str, what: str, body: dict[str, Any]) -> Response:
    with trail.recording() as tx:
        institutions.act(tx, institution_id, what, by_caller(), body["reason"])
        return json_response(institutions.document(tx, institution_id))


def _next(page: list[dict[str, Any]], limit: int, name: str) -> str | None:
    return cursors.encode(page[-1][name]) if len(page) == limit else None


def _tupled(terms: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in terms.items()}
