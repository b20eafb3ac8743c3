# SPDX-License-Identifier: Apache-2.0
"""`authorization_details` of the type `credit_query` (RFC 9396): what an institution asks an enterprise by redirect.

Read at the push, so that a fault goes to the institution; a request for consent when the enterprise arrives; told
back with the token as it was granted, with the consent's id. A member that is not known is refused (RFC 9396 §5).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from consent import policy
from consent.decision import Consent
from consent.question import CLASSES, PRODUCTS, PURPOSES
from consent.schemas import FrequencySchema, HistorySchema, faults_of, some_of
from consent.terms import Grant, limits_of
from kernel import clock, uscc
from kernel.errors import Invalid

TYPE = "credit_query"
ACTIONS = ("query",)
MOST_DAYS = 3_660


def _check_digit(code: str) -> None:
    if not uscc.is_valid(code):
        raise ValidationError("is no unified social credit code")


class CreditQuerySchema(Schema):
    type = fields.String(required=True, validate=validate.OneOf((TYPE,)))
    actions = fields.List(fields.String(), load_default=list(ACTIONS), validate=some_of(ACTIONS))
    uscc = fields.String(validate=_check_digit)  # left out: the enterprise that signs in
    classes = fields.List(
        fields.Integer(strict=True, validate=validate.OneOf(CLASSES)), required=True, validate=validate.Length(1, 7)
    )
    products = fields.List(fields.String(), load_default=["records"], validate=some_of(PRODUCTS))
    purposes = fields.List(fields.String(), required=True, validate=some_of(PURPOSES))
    days = fields.Integer(strict=True, required=True, validate=validate.Range(1, MOST_DAYS))
    max_queries = fields.Integer(strict=True, validate=validate.Range(1, 1_000_000))
    frequency = fields.Nested(FrequencySchema)
    history = fields.Nested(HistorySchema)


def read(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details with their defaults, lists sorted and without repeats.

    Raises Invalid for a member that is wrong or unknown, and for what the bureau's policy never allows.
    """
    try:
        known: dict[str, Any] = CreditQuerySchema().load(details)
    except ValidationError as error:
        raise Invalid("authorization_details are wrong", errors=faults_of(error)) from error
    known |= {name: sorted(set(known[name])) for name in ("actions", "classes", "products", "purposes")}
    now = clock.now()
    policy.require_grantable(asked(known, "", "", now), now)
    return known


def asked(details: Mapping[str, Any], enterprise: str, institution: str, now: datetime) -> Grant:
    """The request for consent that the details are, made of an enterprise at this moment."""
    return Grant(
        uscc=enterprise,
        scope="query",
        grantee=institution,
        classes=tuple(details["classes"]),
        products=tuple(details["products"]),
        purposes=tuple(details["purposes"]),
        expires_at=now + timedelta(days=details["days"]),
        **limits_of(details),
    )


def granted(consent: Consent) -> dict[str, Any]:
    """The details as they were granted (RFC 9396 §7), with the consent's id and its end in place of the days."""
    frequency, months = consent.frequency, consent.history_months
    told = {
        "type": TYPE,
        "actions": list(ACTIONS),
        "consent_id": consent.id,
        "uscc": consent.uscc,
        "classes": list(consent.classes),
        "products": list(consent.products),
        "purposes": list(consent.purposes),
        "expires_at": clock.rfc3339(consent.expires_at) if consent.expires_at else None,
        "max_queries": consent.max_queries,
        "frequency": frequency and {"count": frequency.count, "per": frequency.per},
        "history": months and {"months": months},
    }
    return {name: value for name, value in told.items() if value is not None}
