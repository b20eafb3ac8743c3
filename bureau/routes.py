# SPDX-License-Identifier: Apache-2.0
"""The question. Start here and read downwards: disclosure, consents, vault, answers, trail."""

from typing import Any

from flask import Response

from access import limits
from bureau import answers
from bureau.disclosure import Answer, disclose, disclose_again, disclose_to_self
from bureau.schemas import AnswerSchema, OwnDossierSchema, QuestionSchema
from consent.question import of_client
from kernel import auth
from kernel.errors import NotPermitted
from kernel.headers import content_digest
from kernel.idempotency import required_key
from kernel.web import Blueprint, json_response

blp = Blueprint("bureau", __name__, url_prefix="/v1", description="One question about one enterprise")


@blp.route("/credit-queries", methods=["POST"])
@blp.requires("credit:query")
@limits.counted(question=True)
@blp.arguments(QuestionSchema())
@blp.response(200, AnswerSchema)
@blp.needs_idempotency_key
def ask(body: dict[str, Any]) -> Response:
    """Ask about an enterprise; answered as far as it has consented, and on record either way."""
    return _answered(disclose(of_client(auth.caller(), body, required_key()), answers.records))


@blp.route("/credit-queries/<query_id>")
@blp.requires("credit:query")
@limits.counted(question=False)
@blp.response(200, AnswerSchema)
def show_again(query_id: str) -> Response:
    """The same answer once more, byte for byte; not billable."""
    return _answered(disclose_again(query_id, auth.caller(), answers.records))


@blp.route("/enterprises/<uscc>/dossier")
@blp.requires("self:read")
@blp.response(200, OwnDossierSchema)
def show_own_dossier(uscc: str) -> Response:
    """All that the bureau holds on one's own enterprise; on record, without a consent, not billable."""
    if auth.caller().uscc != uscc:
        raise NotPermitted("an enterprise reads its own dossier only", slug="not-your-enterprise")
    return _answered(disclose_to_self(auth.caller(), answers.records))


def _answered(answer: Answer) -> Response:
    return json_response(answer.body, Content_Digest=content_digest(answer.digest))
