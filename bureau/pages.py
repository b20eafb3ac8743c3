# SPDX-License-Identifier: Apache-2.0
"""Pages for people: a consent, ready to be printed. Here, because it names the enterprise as the directory does."""

import base64
import hashlib
from functools import cache

from flask import Response, current_app
from sqlalchemy import Connection

from access import institutions
from bureau import directory
from consent import printing, store, words
from consent.guards import require_visible
from kernel import clock, db
from kernel.web import Blueprint

blp = Blueprint("pages", __name__, url_prefix="/v1", description="Documents for people")


@blp.route("/consents/<consent_id>/printable")
@blp.requires("consent:read")
@blp.response(200, content_type="text/html")
def print_consent(consent_id: str) -> Response:
    """One's own consent as a document to print (授权书), with its clauses, versions and signature."""
    with db.reading() as reading:
        require_visible(store.get(reading, consent_id), reading)
        page = consent_page(reading, consent_id, f"{current_app.config['BUREAU_PUBLIC_URL']}/oauth/jwks")
    response = Response(page, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _policy()
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def consent_page(reading: Connection, consent_id: str, keys_at: str) -> str:
    """The page of a consent, whoever asks; raises NotFound."""
    shown = store.shown(reading, store.get(reading, consent_id), clock.now())
    return printing.page(
        shown,
        store.history(reading, consent_id),
        grantee_name=_grantee(reading, shown["scope"], shown["grantee"]),
        enterprise_name=directory.name_of(reading, shown["uscc"]),
        keys_at=keys_at,
    )


def _grantee(reading: Connection, scope: str, grantee: str) -> str:
    if scope == "collect":
        return "本征信机构 the bureau"
    if grantee == "platform":
        return "平台全部接入机构 all institutions on the platform"
    if grantee.startswith("kind:"):
        kind = grantee.removeprefix("kind:")
        return f"全部{words.KINDS[kind].zh} every institution of the kind {kind}"
    return institutions.get(reading, grantee).name


@cache
def _policy() -> str:
    """Nothing but the page's own style sheet, named by its hash."""
    seal = base64.b64encode(hashlib.sha256(str(printing.style()).encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{seal}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
