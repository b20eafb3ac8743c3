# SPDX-License-Identifier: Apache-2.0
"""Institutions' webhooks: where each wants to be told of changes to the consents that name it.

A webhook's secret is encrypted under the purpose key `webhooks` and shown once. `rotate` gives a new one; for
OVERLAP both sign. What was sent to a webhook, and what came of it, is kept as long as the message itself.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from audit import trail
from audit.events import Event
from connectors import outward, signatures
from connectors.models import webhook as webhooks
from connectors.models import webhook_message as sent
from kernel import clock, ids, keys, outbox, signing
from kernel.auth import Principal
from kernel.errors import Conflict, NotFound, NotPermitted
from kernel.models import outbox as messages

MOST_WEBHOOKS = 5  # of one institution
OVERLAP = timedelta(hours=24)
TEST_TOPIC = "webhook.test"
Shown = dict[str, Any]


def add(tx: Connection, principal: Principal, url: str) -> Shown:
    """Register a webhook; it is told of all that happens from now on. Shows its secret, once. The caller commits.

    Raises Invalid for what is no URL, Conflict (`webhooks-full`) beyond MOST_WEBHOOKS.
    """
    outward.require_form(url)
    institution = _institution(principal)
    held = tx.scalar(select(func.count()).where(webhooks.c.institution == institution)) or 0
    if held >= MOST_WEBHOOKS:
        raise Conflict(f"{MOST_WEBHOOKS} webhooks are registered already: remove one first", slug="webhooks-full")
    outbox.settle(tx)
    webhook_id, secret = ids.new_id(), signatures.new_secret()
    begun = {"place": outbox.last_place(tx), "created_at": clock.now(), "secret": _locked(webhook_id, secret)}
    tx.execute(insert(webhooks).values(id=webhook_id, institution=institution, url=url, status="active", **begun))
    _record(tx, Event.WEBHOOK_ADDED, principal, webhook_id, url=url)
    return {**get(tx, principal, webhook_id), "secret": signatures.secret_text(secret)}


def get(tx: Connection, principal: Principal, webhook_id: str) -> Shown:
    """One webhook of the caller's institution, as shown; raises NotFound."""
    row = _row(tx, principal, webhook_id)
    counted = _COUNTED.where(sent.c.webhook == webhook_id).group_by(sent.c.webhook, sent.c.state)
    counts = {state: number for _, state, number in tx.execute(counted)}
    return _shown(tx, row) | {state: counts.get(state, 0) for state in ("pending", "delivered", "dead")}


def list_own(tx: Connection, principal: Principal) -> list[Shown]:
    """The webhooks of the caller's institution, oldest first."""
    mine = select(webhooks).where(webhooks.c.institution == _institution(principal)).order_by(webhooks.c.id)
    return [_shown(tx, row) for row in tx.execute(mine)]


def list_all(tx: Connection) -> list[Shown]:
    """For the operator: every webhook, oldest first, with its institution and how much waits or is dead."""
    counts: Counter[tuple[str, str]] = Counter()
    for webhook_id, state, number in tx.execute(_COUNTED.group_by(sent.c.webhook, sent.c.state)):
        counts[webhook_id, state] = number
    listed = select(webhooks.c.id, webhooks.c.institution, webhooks.c.url, webhooks.c.status, webhooks.c.reason)
    return [
        {
            "webhook_id": row.id,
            "institution": row.institution,
            "url": row.url,
            "status": row.status,
            "reason": row.reason,
            **{state: counts[row.id, state] for state in ("pending", "delivered", "dead")},
        }
        for row in tx.execute(listed.order_by(webhooks.c.id))
    ]


def rotate(tx: Connection, principal: Principal, webhook_id: str) -> Shown:
    """A new secret; the present one signs too for OVERLAP. Shows the new one, once. The caller commits."""
    row, secret = _row(tx, principal, webhook_id), signatures.new_secret()
    values = {"secret": _locked(webhook_id, secret), "earlier_secret": row.secret}
    values["earlier_until"] = clock.now() + OVERLAP
    tx.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(**values))
    _record(tx, Event.WEBHOOK_ROTATED, principal, webhook_id)
    return {**get(tx, principal, webhook_id), "secret": signatures.secret_text(secret)}


def resume(tx: Connection, principal: Principal, webhook_id: str) -> Shown:
    """Send again to a webhook that stopped. What came meanwhile is sent too. The caller commits."""
    if _row(tx, principal, webhook_id).status != "stopped":
        raise Conflict("the webhook has not stopped", slug="webhook-active")
    tx.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(status="active", reason=None))
    _record(tx, Event.WEBHOOK_RESUMED, principal, webhook_id)
    return get(tx, principal, webhook_id)


def remove(tx: Connection, principal: Principal, webhook_id: str) -> None:
    """Forget a webhook and what it was sent. The caller commits."""
    row = _row(tx, principal, webhook_id)
    tx.execute(delete(webhooks).where(webhooks.c.id == webhook_id))
    _record(tx, Event.WEBHOOK_REMOVED, principal, webhook_id, url=row.url)


def replay(tx: Connection, principal: Principal, webhook_id: str, since: datetime) -> int:
    """Send once more all that was told since a moment. Returns how many messages. The caller commits."""
    _row(tx, principal, webhook_id)
    told = select(messages.c.id).where(messages.c.time >= since)
    again = update(sent).where(sent.c.webhook == webhook_id, sent.c.state != "pending", sent.c.message.in_(told))
    replayed = tx.execute(again.values(state="pending", attempts=0, due_at=clock.now())).rowcount
    _record(tx, Event.WEBHOOK_REPLAYED, principal, webhook_id, since=clock.rfc3339(since), messages=replayed)
    return replayed


def test(tx: Connection, principal: Principal, webhook_id: str) -> str:
    """Have a message of no meaning sent to one webhook. Returns its id. The caller commits."""
    _row(tx, principal, webhook_id)
    return outbox.put(tx, TEST_TOPIC, own_audience(webhook_id), {"webhook_id": webhook_id})


def sent_to(
    tx: Connection, principal: Principal, webhook_id: str, state: str | None, before: str | None, limit: int
) -> list[Shown]:
    """What a webhook was or will be sent, newest first."""
    _row(tx, principal, webhook_id)
    page = select(sent, messages.c.topic, messages.c.time).join(messages, messages.c.id == sent.c.message)
    page = page.where(sent.c.webhook == webhook_id).order_by(sent.c.message.desc()).limit(limit)
    if state is not None:
        page = page.where(sent.c.state == state)
    if before is not None:
        page = page.where(sent.c.message < before)
    return [
        {
            "id": row.message,
            "type": row.topic,
            "time": clock.rfc3339(row.time),
            "state": row.state,
            "attempts": row.attempts,
            "due_at": clock.rfc3339(row.due_at) if row.state == "pending" else None,
            "tried_at": row.tried_at and clock.rfc3339(row.tried_at),
            "told": row.told,
        }
        for row in tx.execute(page)
    ]


def secrets_of(row: Any, now: datetime) -> Sequence[bytes]:
    """The secrets that sign for a webhook's row now, the newest first."""
    held = [row.secret, *([row.earlier_secret] if row.earlier_until and row.earlier_until > now else [])]
    return [keys.purpose("webhooks").decrypt(each, _bound_to(row.id)) for each in held]


def stop(tx: Connection, webhook_id: str, reason: str) -> None:
    """Send nothing more to a webhook until it is resumed. The caller commits."""
    active = (webhooks.c.id == webhook_id) & (webhooks.c.status == "active")
    if tx.execute(update(webhooks).where(active).values(status="stopped", reason=reason)).rowcount:
        trail.append(tx, _entry(Event.WEBHOOK_STOPPED, webhook_id, actor="messenger", reason=reason))


def own_audience(webhook_id: str) -> str:
    """Whom a message is for that only one webhook is to be sent."""
    return f"webhook:{webhook_id}"


def _row(tx: Connection, principal: Principal, webhook_id: str) -> Any:
    sought = webhooks.c.id == webhook_id, webhooks.c.institution == _institution(principal)
    row = tx.execute(select(webhooks).where(*sought)).one_or_none()
    if row is None:
        raise NotFound(f"no webhook {webhook_id} of yours")
    return row


def _institution(principal: Principal) -> str:
    if principal.institution is None:
        raise NotPermitted("only a client of an institution is told of consents", slug="not-an-institution")
    return principal.institution.id


def _shown(tx: Connection, row: Any) -> Shown:
    return {
        "webhook_id": row.id,
        "url": row.url,
        "status": row.status,
        "reason": row.reason,
        "created_at": clock.rfc3339(row.created_at),
        "earlier_secret_until": row.earlier_until and clock.rfc3339(row.earlier_until),
        "public_keys": [signatures.public_text(each) for each in signing.raw_public_keys(tx, "webhook")],
    }


def _record(tx: Connection, event: Event, principal: Principal, webhook_id: str, **detail: Any) -> None:
    institution = principal.institution
    assert institution is not None, "_institution has seen to it"
    said = {"client": principal.client, "institution": institution.id, "institution_name": institution.name}
    trail.append(tx, _entry(event, webhook_id, actor=principal.actor, said=said, **detail))


def _entry(event: Event, webhook_id: str, *, actor: str, said: Mapping[str, Any] = {}, **detail: Any) -> trail.Entry:
    return trail.Entry(type=event, actor=actor, detail={"webhook": webhook_id, **detail}, **said)


_COUNTED = select(sent.c.webhook, sent.c.state, func.count())


def _locked(webhook_id: str, secret: bytes) -> bytes:
    return keys.purpose("webhooks").encrypt(secret, _bound_to(webhook_id))


def _bound_to(webhook_id: str) -> bytes:
    return f"webhook\0{webhook_id}".encode()
