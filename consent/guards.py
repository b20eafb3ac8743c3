# SPDX-License-Identifier: Apache-2.0
"""Whose consents the present caller may act on, and which exist for it."""

from sqlalchemy import Connection

from consent import store
from consent.decision import Consent, grantees_of
from kernel import auth
from kernel.errors import NotFound, NotPermitted


def require_own(uscc: str) -> None:
    """Raise NotPermitted unless the caller is a signatory of this enterprise."""
    if auth.caller().uscc != uscc:
        raise NotPermitted("you may act for your own enterprise only", slug="not-your-enterprise")


def require_visible(consent: Consent, reading: Connection) -> None:
    """Others' consents do not exist for the caller: their existence is information. Raises NotFound."""
    principal = auth.caller()
    if principal.institution is not None:
        visible = consent.scope == "query" and consent.grantee in grantees_of(principal.institution)
        visible &= store.requested_by(reading, consent.id) in (None, principal.institution.id)
    else:
        visible = principal.uscc == consent.uscc
    if not visible:
        raise NotFound(f"no consent {consent.id}")
