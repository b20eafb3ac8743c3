# SPDX-License-Identifier: Apache-2.0
"""Whether the process lives, and whether it can answer questions: each promise by its name."""

from flask import Response
from marshmallow import Schema, fields
from sqlalchemy import select

from audit import watch
from bureau.models import publication_head
from kernel import db
from kernel.errors import Unavailable
from kernel.web import Blueprint, json_response

blp = Blueprint("health", __name__, description="For the operator")


class HealthSchema(Schema):
    status = fields.String(required=True)


class ConditionSchema(Schema):
    name = fields.String(required=True, metadata={"description": "database, entries, sealing or witnesses"})
    kept = fields.Boolean(required=True)
    detail = fields.String(required=True)


class ReadinessSchema(HealthSchema):
    conditions = fields.List(fields.Nested(ConditionSchema), required=True)


@blp.route("/healthz")
@blp.public
@blp.response(200, HealthSchema)
def is_alive() -> Response:
    """The process answers."""
    return json_response({"status": "alive"})


@blp.route("/readyz")
@blp.public
@blp.response(200, ReadinessSchema)
def is_ready() -> Response:
    """Whether questions are answered, and each condition for it; 503 else, with the conditions where they are known."""
    with db.reading() as reading:
        reading.execute(select(publication_head.c.number)).one()
        database = watch.Condition("database", is_kept=True, detail="it answers")
        conditions = [database, watch.can_write(), *watch.conditions(reading)]
    told = [{"name": each.name, "kept": each.is_kept, "detail": each.detail} for each in conditions]
    if broken := [each.detail for each in conditions if not each.is_kept]:
        raise Unavailable(f"no question is answered: {'; '.join(broken)}", slug="not-ready", conditions=told)
    return json_response({"status": "ready", "conditions": told})
