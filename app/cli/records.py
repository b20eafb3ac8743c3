# SPDX-License-Identifier: Apache-2.0
"""Commands about single records: look at one, correct it, withdraw it, take that back."""

import json
from typing import Any

import click

from app.commands import Text, as_json, command, main, say
from audit import trail
from bureau import amendments, record_history
from bureau.folios import Correction

reason = click.option("--reason", type=Text(400), required=True)


class Setting(click.ParamType[Any]):
    """ITEM=VALUE, the value as JSON (12, true, null, "2024-03-05") or, where it is none, as text."""

    name = "item=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        item, is_set, text = value.partition("=")
        if not is_set:
            self.fail("give ITEM=VALUE, such as C5.01.07=12345600", param, ctx)
        try:
            return item, json.loads(text)
        except ValueError:
            return item, text


@main.group("record")
def record_group() -> None:
    """Single records; what was delivered is never changed, only laid over."""


@command(record_group, "show")
@click.argument("uscc")
@click.argument("record")
@as_json
def show_record(uscc: str, record: str, as_json: bool) -> None:
    """A record as delivered, what was laid over it, and what is shown of it now. That you looked is an entry."""
    shown = record_history.look(uscc, record)
    say(shown) if as_json else click.echo(json.dumps(shown, ensure_ascii=False, indent=2))


@command(record_group, "correct")
@click.argument("uscc")
@click.argument("record")
@click.option("--set", "items", type=Setting(), multiple=True, required=True, help="May be given several times.")
@reason
@as_json
def correct_record(uscc: str, record: str, items: tuple[tuple[str, Any], ...], reason: str, as_json: bool) -> None:
    """Lay a correction over RECORD (such as 42.17.C5.01): from now on answers show it."""
    _amend(uscc, record, Correction("correction", dict(items)), reason, as_json)


@command(record_group, "withdraw")
@click.argument("uscc")
@click.argument("record")
@reason
@as_json
def withdraw_record(uscc: str, record: str, reason: str, as_json: bool) -> None:
    """Take RECORD out of all answers from now on; it stays on file."""
    _amend(uscc, record, Correction("withdrawal"), reason, as_json)


@command(record_group, "lift")
@click.argument("uscc")
@click.argument("overlay")
@reason
@as_json
def lift_overlay(uscc: str, overlay: str, reason: str, as_json: bool) -> None:
    """End a correction, mark or withdrawal by the id of its OVERLAY."""
    with trail.recording() as tx:
        amendments.lift(tx, uscc, overlay, reason)
    say({"overlay": overlay, "lifted": True}) if as_json else click.echo(f"{overlay} lifted")


def _amend(uscc: str, record: str, correction: Correction, reason: str, as_json: bool) -> None:
    with trail.recording() as tx:
        laid = amendments.amend(tx, uscc, record, correction, reason)
    say({"overlay": laid, "record": record}) if as_json else click.echo(laid)
