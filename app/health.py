# SPDX-License-Identifier: Apache-2.0
"""Whether the process lives, and whether it can answer questions."""

from flask import Response
from marshmallow import Schema, fields
from sqlalchemy import select

from audit.models import unsealed
from bureau.models import publication_head
from kernel import db
from kernel.web import Blueprint, json_response

blp = Blueprint("health", __name__, description="For the operator")


class HealthSchema(Schema):
    status = fields.String(required=True)


@blp.route("/healthz")
@blp.public
@blp.response(200, HealthSchema)
def is_alive() -> Response:
    """The process answers."""
    return json_response({"status": "alive"})


@blp.route("/readyz")
@blp.public
@blp.response(200, HealthSchema)
def is_ready() -> Response:
    """The database answers too; 503 else."""
    with db.reading() as reading:
        reading.execute(select(publication_head.c.number)).one()
        reading.execute(select(unsealed.c.entry).limit(1)).all()
    return json_response({"status": "ready"})
