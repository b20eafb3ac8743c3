# SPDX-License-Identifier: Apache-2.0
"""The kill switch: stops a client, an institution, or all clients, at the very next request in every worker.

A stop is a row. The lookup of a token reads it in the same statement as the token (access/tokens.py), so nothing
has to be told to anyone. It stands beside the status of a client or an institution and changes neither: taking it
back leaves them as they were. People still sign in: someone must take it back.
"""

from typing import Any

from sqlalchemy import Connection, ScalarSelect, delete, func, insert, literal, select

from access.lifecycle import COUNTER, Act
from access.models import client, institution, switch
from audit import trail
from audit.events import Event
from kernel import clock
from kernel.errors import BureauError, Conflict, NotFound, NotPermitted, Unavailable

TARGETS = ("client", "institution", "all")


def named(kind: str, party: str | None) -> str:
    """A switch's name: `all`, `client:ID` or `institution:ID`."""
    return "all" if kind == "all" else f"{kind}:{party or ''}"


def stop(tx: Connection, kind: str, party: str | None, reason: str, by: Act = COUNTER) -> dict[str, Any]:
    """Pull a switch. Returns it; raises NotFound for an unknown party, Conflict where it is pulled already."""
    target = named(kind, party)
    owner = institution.c.id if kind == "institution" else client.c.id
    if kind != "all" and tx.scalar(select(owner).where(owner == party)) is None:
        raise NotFound(f"no {kind} {party}")
    if tx.scalar(select(switch.c.target).where(switch.c.target == target)) is not None:
        raise Conflict(f"{target} is stopped already", slug="stopped-already")
    values = {"target": target, "reason": reason, "stopped_by": by.actor, "stopped_at": clock.now()}
    tx.execute(insert(switch).values(values))
    _note(tx, Event.SWITCH_STOPPED, target, by, reason)
    return _shown(values)


def start(tx: Connection, target: str, by: Act = COUNTER) -> None:
    """Take a stop back, by the switch's name. Raises NotFound where there is none."""
    if not tx.execute(delete(switch).where(switch.c.target == target)).rowcount:
        raise NotFound(f"{target} is not stopped")
    _note(tx, Event.SWITCH_STARTED, target, by)


def list_all(tx: Connection) -> list[dict[str, Any]]:
    """What is stopped now, as `{"switch", "reason", "stopped_by", "stopped_at"}`, `all` first."""
    return [_shown(row._asdict()) for row in tx.execute(select(switch).order_by(switch.c.target))]


def reading(of_client: Any, of_institution: Any) -> ScalarSelect[Any]:
    """A scalar subquery: the name of the widest switch that stops a client (`all` sorts first), or NULL."""
    names = literal("all"), literal("client:") + of_client, literal("institution:") + of_institution
    return select(func.min(switch.c.target)).where(switch.c.target.in_(names)).scalar_subquery()


def refusal(stopped: str) -> BureauError:
    """What a stopped client is told: 503 `service-stopped` where all are, else 403 `client-stopped` or so."""
    if stopped == "all":
        return Unavailable("the bureau has stopped its service for now: try again later", slug="service-stopped")
    kind = stopped.partition(":")[0]
    return NotPermitted(f"the bureau has stopped this {kind}: ask its security officer", slug=f"{kind}-stopped")


def _note(tx: Connection, event: Event, target: str, by: Act, reason: str | None = None) -> None:
    kind, _, party = target.partition(":")
    said = trail.Entry(
        type=event,
        actor=by.actor,
        channel=by.channel,
        client=party if kind == "client" else None,
        institution=party if kind == "institution" else None,
        detail={"switch": target, "reason": reason} if reason else {"switch": target},
    )
    trail.append(tx, said)


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    shown = {"switch": values["target"], "reason": values["reason"], "stopped_by": values["stopped_by"]}
    return {**shown, "stopped_at": clock.rfc3339(values["stopped_at"])}
