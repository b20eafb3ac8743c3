# SPDX-License-Identifier: Apache-2.0
"""The peer: the same question, answered as a textbook would build it with the same libraries.

One row per record, found by an index on the USCC; SQLAlchemy's ORM for every table, each request a session;
marshmallow dumps the answer. It checks the token, the institution and the consent, and commits a line of an
audit table before it answers, as ours does. It has no encryption, no idempotency, no proofs and no history,
and keeps its own rows in clear. Tables that both builds need (tokens, clients, institutions, consents, the
directory) are the bureau's own. Nothing in it is slow on purpose: one query for the records, `joinedload` for
the token's holder, a pool of connections, nothing expired by the commit.
"""

import hashlib
import os
import uuid
from datetime import UTC, date, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from flask import Flask, request
from flask_smorest import Api, Blueprint, abort
from marshmallow import Schema, fields, validate
from sqlalchemy import JSON, BigInteger, DateTime, String, Text, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship, sessionmaker

from access import models as access
from bureau import models as bureau
from bureau.catalogue import current
from consent import models as consent
from consent.question import CLASSES, PURPOSES
from kernel.db import metadata


class Base(DeclarativeBase):
    metadata = metadata
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text}


class Institution(Base):
    __table__ = access.institution


class Client(Base):
    __table__ = access.client
    employer = relationship(Institution)


class Token(Base):
    __table__ = access.token
    holder = relationship(Client)


class Consent(Base):
    __table__ = consent.consent


class Enterprise(Base):
    __table__ = bureau.directory


class Record(Base):
    __tablename__ = "textbook_record"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[str]
    uscc: Mapped[str] = mapped_column(String(18), index=True)
    class_number: Mapped[int]
    dataset: Mapped[str] = mapped_column(String(8))
    source: Mapped[str] = mapped_column(String(8))
    event_date: Mapped[date | None]
    received_at: Mapped[datetime]
    items: Mapped[dict[str, Any]] = mapped_column(JSON)
    raw: Mapped[dict[str, str]] = mapped_column(JSON)


class Audit(Base):
    __tablename__ = "textbook_audit"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    time: Mapped[datetime]
    client: Mapped[str]
    institution: Mapped[str]
    uscc: Mapped[str] = mapped_column(String(18), index=True)
    consent: Mapped[str]
    purpose: Mapped[str]
    product: Mapped[str]
    operator: Mapped[str]
    classes: Mapped[list[int]] = mapped_column(JSON)
    records: Mapped[int]


class QuestionSchema(Schema):
    uscc = fields.String(required=True, validate=validate.Length(equal=18))
    purpose = fields.String(required=True, validate=validate.OneOf(PURPOSES))
    product = fields.String(required=True, validate=validate.OneOf(("records",)))
    classes = fields.List(fields.Integer(validate=validate.OneOf(CLASSES)))
    operator = fields.String(required=True, validate=validate.Length(1, 64))


class RecordSchema(Schema):
    id = fields.String()
    source = fields.String()
    event_date = fields.Date()
    received_at = fields.DateTime()
    items = fields.Dict()
    raw = fields.Dict()


class DatasetSchema(Schema):
    dataset = fields.String()
    name = fields.String()
    records = fields.List(fields.Nested(RecordSchema))


class ClassSchema(Schema):
    number = fields.Integer(data_key="class")
    name = fields.String()
    datasets = fields.List(fields.Nested(DatasetSchema))


class AsOfSchema(Schema):
    publication = fields.Integer()
    time = fields.DateTime()


class AnswerSchema(Schema):
    query_id = fields.String()
    uscc = fields.String()
    name = fields.String()
    as_of = fields.Nested(AsOfSchema)
    product = fields.String()
    purpose = fields.String()
    consent_id = fields.String()
    classes = fields.List(fields.Nested(ClassSchema))
    receipt = fields.String()


blp = Blueprint("textbook", __name__, url_prefix="/v1")
Session = sessionmaker(expire_on_commit=False)


@blp.route("/credit-queries", methods=["POST"])
@blp.arguments(QuestionSchema)
@blp.response(200, AnswerSchema)
def ask(asked: dict[str, Any]) -> dict[str, Any]:
    with Session() as session:
        now = datetime.now(UTC)
        client = _client(session, now)
        consent = _consent(session, client.employer, asked, now)
        classes = asked.get("classes") or [int(number) for number in consent.classes.split(",")]
        found = select(Record).where(Record.uscc == asked["uscc"], Record.class_number.in_(classes))
        records = session.scalars(found.order_by(Record.class_number, Record.dataset, Record.number)).all()
        named = select(Enterprise).where(Enterprise.uscc == asked["uscc"]).order_by(Enterprise.batch.desc())
        enterprise = session.scalars(named.limit(1)).one()
        audit = Audit(
            id=str(uuid.uuid4()),
            time=now,
            client=client.id,
            institution=client.institution,
            uscc=asked["uscc"],
            consent=consent.id,
            purpose=asked["purpose"],
            product=asked["product"],
            operator=asked["operator"],
            classes=classes,
            records=len(records),
        )
        session.add(audit)
        session.commit()
    return {
        "query_id": audit.id,
        "uscc": asked["uscc"],
        "name": enterprise.name,
        "as_of": {"publication": 1, "time": now},
        "product": asked["product"],
        "purpose": asked["purpose"],
        "consent_id": consent.id,
        "classes": _by_class(records),
        "receipt": f"/v1/audit/receipts/{audit.id}",
    }


def _client(session: Any, now: datetime) -> Client:
    """The client whose bearer token this is, if it may ask."""
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    hashed = hashlib.sha256(bearer.encode()).digest()
    holder = joinedload(Token.holder).joinedload(Client.employer)
    token = session.scalars(select(Token).where(Token.hash == hashed).options(holder)).one_or_none()
    if token is None or token.revoked_at or token.expires_at <= now or token.holder.status != "active":
        abort(401)
    if "credit:query" not in token.scopes.split() or token.holder.employer.status != "approved":
        abort(403)
    client: Client = token.holder
    return client


def _consent(session: Any, institution: Institution, asked: dict[str, Any], now: datetime) -> Consent:
    """The enterprise's consent to this institution's questions, or to its kind's, or to all."""
    grantees = institution.id, f"kind:{institution.kind}", "platform"
    held = select(Consent).where(Consent.uscc == asked["uscc"], Consent.deciding)
    found = session.scalars(held.where(Consent.grantee.in_(grantees)))
    by_grantee = {(each.scope, each.grantee): each for each in found}
    collect = by_grantee.get(("collect", "platform"))
    if collect is not None and collect.status != "active":
        abort(403)
    queries = (by_grantee.get(("query", grantee)) for grantee in grantees)
    consent = next((each for each in queries if each is not None), None)
    if consent is None or consent.status != "active" or (consent.expires_at and consent.expires_at <= now):
        abort(403)
    if asked["purpose"] not in consent.purposes.split(","):
        abort(403)
    if asked["product"] not in consent.products.split(","):
        abort(403)
    covered = {int(number) for number in consent.classes.split(",")}
    if set(asked.get("classes", ())) - covered:
        abort(403)
    return consent


def _by_class(records: Any) -> list[dict[str, Any]]:
    known = current()
    return [
        {
            "number": number,
            "name": known.classes[number].name_zh,
            "datasets": [
                {"dataset": dataset, "name": known.datasets[dataset].name_zh, "records": list(rows)}
                for dataset, rows in groupby(of_class, attrgetter("dataset"))
            ],
        }
        for number, of_class in groupby(records, attrgetter("class_number"))
    ]


def create_app() -> Flask:
    app = Flask("textbook")
    app.config.update(API_TITLE="textbook", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    Session.configure(bind=create_engine(os.environ["BUREAU_DATABASE_URL"]))
    Api(app).register_blueprint(blp)
    return app
