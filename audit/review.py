# SPDX-License-Identifier: Apache-2.0
"""Reading the trail: what an enterprise sees of who asked about it, and why (条例 Art. 22; 深圳条例 Art. 44)."""

from typing import Any

import orjson
from sqlalchemy import Connection, select

from audit.models import entry as entries

SHOWN = ("query.answered", "query.refused", "query.replayed")


def access_log(tx: Connection, uscc: str, before: str | None, limit: int) -> list[dict[str, Any]]:
    """Who asked about an enterprise, newest first: answers, refusals and replays; `before` an entry's id."""
    page = select(entries.c.bytes).where(entries.c.uscc == uscc, entries.c.type.in_(SHOWN))
    if before is not None:
        page = page.where(entries.c.id < before)
    leaves = tx.scalars(page.order_by(entries.c.id.desc()).limit(limit)).all()
    return [_shown(orjson.loads(leaf)) for leaf in leaves if leaf is not None]


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "query_id": document["id"],
        "time": document["time"],
        "type": document["type"],
        "institution": document.get("institution"),
        "institution_name": document.get("institution_name"),
        "purpose": document.get("purpose"),
        "product": document.get("product"),
        "classes": document.get("classes"),
        "outcome": document.get("outcome"),
        "reason": document.get("rule"),
        "receipt": f"/v1/audit/receipts/{document['id']}",
    }
