# SPDX-License-Identifier: Apache-2.0
"""The messenger: puts the outbox's messages on the lists of the webhooks that they are for, and sends them.

    1. places are given to what was committed (kernel.outbox)
    2. each active webhook of an approved institution gets what is new for it, once: its own
       place moves in the same transaction
    3. what is due is claimed: it is due again after CLAIM, should this process be killed before step 5
    4. it is sent, signed, outside of any transaction
    5. what came of it is written down

So a message is sent at least once, each time under the same id, and two messengers do no harm. Any 2xx is delivered;
410 stops the webhook; else it is tried again after each of AFTER, then it is dead until someone replays it.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from access.models import institution as institutions
from access.networks import Network
from connectors import outward, signatures, webhooks
from connectors.models import webhook as webhook_table
from connectors.models import webhook_message as sent
from connectors.outward import Reply, Unreachable
from kernel import canonical, clock, db, outbox, signing
from kernel.errors import Invalid
from kernel.models import outbox as messages

AFTER = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)  # as Standard Webhooks proposes
)
LONGEST_WAIT = AFTER[-1]  # that a Retry-After may ask for
CLAIM = timedelta(minutes=2)
LISTED_AT_ONCE, DUE_AT_ONCE = 1_000, 200
AT_ONCE, AT_ONCE_EACH = 8, 2  # messages under way: together, and to one webhook
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_OF_PARTIES = webhook_table.join(institutions, institutions.c.id == webhook_table.c.institution)
# Whoever is suspended is told once it is resumed; whoever closed, never.
_TOLD = webhook_table.c.status == "active", institutions.c.status == "approved"

Send = Callable[[str, bytes, dict[str, str]], Reply]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message under way to a webhook: the row of the webhook, and how often it has been tried, now included."""

    webhook: Any
    message: str
    attempt: int
    body: bytes


def work_once(listed: Sequence[Network]) -> int:
    """One round. `listed` are the networks beside the public internet that may be called. Returns how many it sent."""

    def send(url: str, body: bytes, headers: dict[str, str]) -> Reply:
        return outward.request("POST", url, listed, content=body, headers=headers)

    put_on_lists()
    claimed = claim(clock.now())
    if claimed:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="messenger") as pool:
            list(pool.map(lambda one: deliver(one, send), claimed))
    return len(claimed)


def put_on_lists() -> None:
    """Steps 1 and 2, for every webhook that is told, until none has anything new."""
    outbox.settle_all()
    with db.reading() as reading:
        newest = outbox.last_place(reading)
        behind = select(webhook_table.c.id).select_from(_OF_PARTIES).where(*_TOLD, webhook_table.c.place < newest)
        found = reading.scalars(behind).all()
    for webhook_id in found:
        more = True
        while more:
            with db.transaction() as tx:
                more = _list_some(tx, webhook_id)


def claim(now: datetime) -> list[Claimed]:
    """Step 3: what is due, at most AT_ONCE_EACH for a webhook."""
    due = (
        select(sent.c.message, sent.c.attempts, sent.c.webhook, messages.c.topic, messages.c.time, messages.c.data)
        .select_from(
            sent.join(_OF_PARTIES, webhook_table.c.id == sent.c.webhook).join(messages, messages.c.id == sent.c.message)
        )
        .where(sent.c.state == "pending", sent.c.due_at <= now, *_TOLD)
        .order_by(sent.c.due_at)
        .limit(DUE_AT_ONCE)
    )
    with db.reading() as reading:
        if reading.execute(due.limit(1)).first() is None:  # most rounds: nothing is locked for nothing
            return []
    with db.transaction() as tx:
        each: Counter[str] = Counter()
        chosen = []
        for row in tx.execute(due.with_for_update(of=sent, skip_locked=True)):
            each[row.webhook] += 1
            if each[row.webhook] <= AT_ONCE_EACH:
                chosen.append(row)
        if not chosen:
            return []
        tx.execute(_CLAIM, [{"w": row.webhook, "m": row.message, "until": now + CLAIM} for row in chosen])
        sought = select(webhook_table).where(webhook_table.c.id.in_({row.webhook for row in chosen}))
        to = {row.id: row for row in tx.execute(sought)}
    return [Claimed(to[row.webhook], row.message, row.attempts + 1, body_of(row)) for row in chosen]


def deliver(claimed: Claimed, send: Send) -> None:
    """Steps 4 and 5 for one message."""
    now = clock.now()
    secrets = webhooks.secrets_of(claimed.webhook, now)
    headers = signatures.headers(claimed.message, now, claimed.body, secrets, signing.signer("webhook").sign_raw)
    try:
        reply = send(claimed.webhook.url, claimed.body, headers)
        told, wait = f"answered {reply.status}", _asked_to_wait(reply)
        status = reply.status
    except (Unreachable, Invalid) as error:
        told, wait, status = error.detail[:200], timedelta(0), 0
    with db.transaction() as tx:
        if 200 <= status < 300:
            _settle(tx, claimed, state="delivered", told=told)
        elif status == 410:
            webhooks.stop(tx, claimed.webhook.id, "its server answered 410 Gone")
            _settle(tx, claimed, state="dead", told=told)
        elif claimed.attempt > len(AFTER):
            _settle(tx, claimed, state="dead", told=told)
        else:
            later = max(AFTER[claimed.attempt - 1] * random.uniform(0.9, 1.1), wait)  # noqa: S311  # no secret
            _settle(tx, claimed, told=told, due_at=clock.now() + later)


def body_of(message: Any) -> bytes:
    """A message's body: the same bytes at each attempt."""
    data = orjson.loads(message.data)
    return canonical.encode({"type": message.topic, "timestamp": clock.rfc3339(message.time), "data": data})


def _list_some(tx: Connection, webhook_id: str) -> bool:
    """Put up to LISTED_AT_ONCE messages on a webhook's list. Returns whether there may be more."""
    sought = select(webhook_table.c.place, institutions.c.id, institutions.c.kind).select_from(_OF_PARTIES)
    row = tx.execute(sought.where(webhook_table.c.id == webhook_id).with_for_update(of=webhook_table)).one_or_none()
    if row is None:
        return False
    newest = outbox.last_place(tx)
    audiences = (row.id, f"kind:{row.kind}", "platform", webhooks.own_audience(webhook_id))
    found = outbox.after(tx, row.place, audiences, LISTED_AT_ONCE)
    if found:
        values = {"webhook": webhook_id, "state": "pending", "attempts": 0, "due_at": clock.now()}
        statement = _INSERT[tx.dialect.name](sent).on_conflict_do_nothing()
        tx.execute(statement, [{**values, "message": each.id} for each in found])
    full = len(found) == LISTED_AT_ONCE
    place = found[-1].place if full else max(newest, row.place)
    tx.execute(update(webhook_table).where(webhook_table.c.id == webhook_id).values(place=place))
    return full


def _settle(tx: Connection, claimed: Claimed, **values: Any) -> None:
    """Write down what came of an attempt, unless a replay has begun it anew meanwhile."""
    this = (sent.c.webhook == claimed.webhook.id) & (sent.c.message == claimed.message)
    tx.execute(update(sent).where(this, sent.c.attempts == claimed.attempt).values(tried_at=clock.now(), **values))


def _asked_to_wait(reply: Reply) -> timedelta:
    """What a 429 or 503 asks for in seconds, up to LONGEST_WAIT."""
    asked = reply.headers.get("retry-after", "")
    if reply.status not in (429, 503) or not asked.isascii() or not asked.isdigit() or len(asked) > 9:
        return timedelta(0)
    return min(timedelta(seconds=int(asked)), LONGEST_WAIT)


_CLAIM = (
    update(sent)
    .where(sent.c.webhook == bindparam("w"), sent.c.message == bindparam("m"))
    .values(due_at=bindparam("until"), attempts=sent.c.attempts + 1)
)
