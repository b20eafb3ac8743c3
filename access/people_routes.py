# SPDX-License-Identifier: Apache-2.0
"""People: what they do for themselves, what administrators and security officers do about them, invitations."""

from typing import Any

from flask import Response

from access import invitations, lockout, networks, people, totp
from access.people import Newcomer
from access.people_schemas import (
    AcceptanceSchema,
    AcceptedSchema,
    InvitationListSchema,
    InvitationWithCodeSchema,
    NewcomerSchema,
    PasswordChangeSchema,
    PersonListSchema,
    RecoveryCodesSchema,
    TotpCodeSchema,
    TotpSecretSchema,
)
from access.schemas import PageSchema
from audit import review, trail
from kernel import auth, cursors
from kernel.web import Blueprint, json_response

blp = Blueprint("people", __name__, url_prefix="/v1", description="People, their second factor, invitations")


@blp.route("/people/me/totp", methods=["POST"])
@blp.requires(auth.ANY_SCOPE)
@blp.response(200, TotpSecretSchema)
def begin_totp() -> Response:
    """Begin to enrol a second factor (RFC 6238); it counts once a code of it is confirmed."""
    username = people.require_person(auth.caller())
    with trail.recording() as tx:
        begun = totp.begin(tx, username)
    return json_response(begun)


@blp.route("/people/me/totp/confirm", methods=["POST"])
@blp.requires(auth.ANY_SCOPE)
@blp.arguments(TotpCodeSchema())
@blp.response(200, RecoveryCodesSchema)
def confirm_totp(body: dict[str, Any]) -> Response:
    """Make the second factor count; all other sessions end, and this one keeps the scopes that it has."""
    username = people.require_person(auth.caller())
    with trail.recording() as tx:
        codes = totp.confirm(tx, username, body["code"])
        people.end_sessions(tx, username, but=auth.caller().token)
    return json_response({"recovery_codes": codes})


@blp.route("/people/me/password", methods=["POST"])
@blp.requires(auth.ANY_SCOPE)
@blp.arguments(PasswordChangeSchema())
@blp.response(204)
def change_password(body: dict[str, Any]) -> Response:
    """Change one's password; all other sessions end."""
    people.require_person(auth.caller())
    network = lockout.network_of(networks.of_caller())
    people.change_password(auth.caller(), body["current"], body["new"], network)
    return Response(status=204)


@blp.route("/people")
@blp.requires("admin")
@blp.arguments(PageSchema(), location="query")
@blp.response(200, PersonListSchema)
def list_people(asked: dict[str, Any]) -> Response:
    """Everyone who has an account, by username; that it was looked at is an entry."""
    after, limit = cursors.decode(asked.get("cursor")), asked["limit"]
    with trail.recording(only_the_entry=True) as tx:
        page = people.listed(tx, after, limit)
        review.record_view(tx, auth.caller(), "people", len(page), {"after": after, "limit": limit})
    next_cursor = cursors.encode(page[-1]["username"]) if len(page) == limit else None
    return json_response({"people": page, "next_cursor": next_cursor})


@blp.route("/people/<username>/disable", methods=["POST"])
@blp.requires("security")
@blp.response(204)
def disable_person(username: str) -> Response:
    """End someone else's account and all its sessions."""
    with trail.recording() as tx:
        people.disable(tx, username, auth.caller())
    return Response(status=204)


@blp.route("/people/<username>/enable", methods=["POST"])
@blp.requires("security")
@blp.response(204)
def enable_person(username: str) -> Response:
    """Let someone sign in again."""
    with trail.recording() as tx:
        people.enable(tx, username, auth.caller())
    return Response(status=204)


@blp.route("/people/<username>/totp/reset", methods=["POST"])
@blp.requires("security")
@blp.response(204)
def reset_totp(username: str) -> Response:
    """Take away someone else's second factor, which was lost, so that a new one can be enrolled."""
    with trail.recording() as tx:
        totp.reset(tx, username, auth.caller())
    return Response(status=204)


@blp.route("/invitations", methods=["POST"])
@blp.requires("admin")
@blp.arguments(NewcomerSchema())
@blp.response(201, InvitationWithCodeSchema)
def invite(body: dict[str, Any]) -> Response:
    """Invite someone, for seven days; for admin, compliance and security a second person must confirm."""
    newcomer = Newcomer(body["role"], body.get("uscc"), body["name"], body.get("staff_no"))
    with trail.recording() as tx:
        invited = invitations.invite(tx, newcomer, auth.caller())
    return json_response(invited, 201)


@blp.route("/invitations")
@blp.requires("staff:confirm")
@blp.arguments(PageSchema(), location="query")
@blp.response(200, InvitationListSchema)
def list_invitations(asked: dict[str, Any]) -> Response:
    """Invitations, newest first; that they were looked at is an entry."""
    before, limit = cursors.decode(asked.get("cursor")), asked["limit"]
    with trail.recording(only_the_entry=True) as tx:
        page = invitations.listed(tx, before, limit)
        review.record_view(tx, auth.caller(), "invitations", len(page), {"before": before, "limit": limit})
    next_cursor = cursors.encode(page[-1]["invitation_id"]) if len(page) == limit else None
    return json_response({"invitations": page, "next_cursor": next_cursor})


@blp.route("/invitations/<invitation_id>/confirm", methods=["POST"])
@blp.requires("staff:confirm")
@blp.response(200, InvitationWithCodeSchema)
def confirm_invitation(invitation_id: str) -> Response:
    """Confirm an invitation into admin, compliance or security, as someone of another of these offices."""
    with trail.recording() as tx:
        confirmed = invitations.confirm(tx, invitation_id, auth.caller())
    return json_response(confirmed)


@blp.route("/invitations/accept", methods=["POST"])
@blp.public
@blp.arguments(AcceptanceSchema())
@blp.response(201, AcceptedSchema)
def accept_invitation(body: dict[str, Any]) -> Response:
    """Become a person of the bureau, by the code that was handed over; then sign in."""
    with trail.recording() as tx:
        accepted = invitations.accept(tx, body["code"], body["username"], body["password"])
    return json_response(accepted, 201)
