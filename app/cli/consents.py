# SPDX-License-Identifier: Apache-2.0
"""Commands about what enterprises allow, and the question asked at the counter."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from app import config, counter
from app.commands import Names, Numbers, Text, as_json, command, main, say
from bureau import pages
from consent import grants, store
from consent.question import PRODUCTS, PURPOSES
from consent.terms import PERIODS
from kernel import clock, db


@main.group("consent")
def consent_group() -> None:
    """What enterprises allow, written down at the counter."""


@command(consent_group, "grant")
@click.option("--uscc", type=Text(32), required=True)
@click.option("--institution", help="An institution's id, kind:KIND, or platform; required but for --scope collect.")
@click.option("--classes", type=Numbers(), required=True)
@click.option("--purposes", type=Names(PURPOSES), required=True)
@click.option("--scope", type=click.Choice(("query", "collect")), default="query", show_default=True)
@click.option("--products", type=Names(PRODUCTS), default=",".join(PRODUCTS), show_default=True)
@click.option("--days", type=click.IntRange(1, 36_500), help="Default: open-ended.")
@click.option("--max-queries", type=click.IntRange(1, 1_000_000), help="Answers in all, for each institution.")
@click.option("--frequency", type=(click.IntRange(1, 1_000_000), click.Choice(PERIODS)), help="As in: 5 month.")
@click.option("--history-months", type=click.IntRange(1, 600), help="Leave events out that are older.")
@as_json
def grant_consent(
    uscc: str,
    institution: str | None,
    classes: tuple[int, ...],
    purposes: tuple[str, ...],
    scope: str,
    products: tuple[str, ...],
    days: int | None,
    max_queries: int | None,
    frequency: tuple[int, str] | None,
    history_months: int | None,
    as_json: bool,
) -> None:
    """Write down a consent that an enterprise gave on paper."""
    if scope == "collect" and institution not in (None, "platform"):
        click.echo("bureau: a collect consent is given to the bureau itself; --institution is not used", err=True)
        institution = None
    body: dict[str, Any] = {"uscc": uscc, "scope": scope, "grantee": institution, "classes": classes}
    ends = clock.now() + timedelta(days=days) if days else None
    body |= {"products": products, "purposes": purposes, "not_before": None, "expires_at": ends}
    body |= {"max_queries": max_queries, "history": {"months": history_months} if history_months else None}
    body["frequency"] = {"count": frequency[0], "per": frequency[1]} if frequency else None
    consent_id = counter.grant(grants.checked(body))
    say({"consent_id": consent_id}) if as_json else click.echo(consent_id)


def _add_change(act: str, told: str) -> None:
    @command(consent_group, act)
    @click.argument("consent_id")
    @click.option("--reason", type=Text(400))
    def change_consent(consent_id: str, reason: str | None) -> None:
        counter.change(act, consent_id, reason)

    change_consent.help = told


_add_change("revoke", "Write down that an enterprise ended a consent.")
_add_change("pause", "Write down that an enterprise holds a consent.")
_add_change("resume", "Write down that an enterprise put a held consent into force again.")
_add_change("suspend", "Stop a consent that is under suspicion.")
_add_change("reinstate", "End the suspension of a consent.")


@command(consent_group, "show")
@click.argument("consent_id")
@as_json
def show_consent(consent_id: str, as_json: bool) -> None:
    """A consent with all its signed versions. The answer is JSON anyhow."""
    del as_json
    with db.reading() as reading:
        shown = store.shown(reading, store.get(reading, consent_id), clock.now())
        say({**shown, "versions": list(store.history(reading, consent_id))})


@command(consent_group, "list")
@click.option("--uscc", type=Text(32))
@as_json
def list_consents(uscc: str | None, as_json: bool) -> None:
    """Consents, newest first."""
    with db.reading() as reading:
        listed = [counter.consent_line(one) for one in counter.all_consents(reading, uscc)]
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        click.echo(f"{one['consent_id']}  {one['status']:<10} {one['scope']:<8} {one['uscc']} → {one['grantee']}")


@command(consent_group, "print")
@click.argument("consent_id")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="An HTML file, mode 0600.")
def print_consent(consent_id: str, out: Path) -> None:
    """Write a consent as a document to print and to seal (授权书)."""
    with db.reading() as reading:
        page = pages.consent_page(reading, consent_id, f"{config.read().public_url}/oauth/jwks")
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(page)


@command(main, "query")
@click.option("--institution", required=True)
@click.option("--uscc", type=Text(32), required=True)
@click.option("--purpose", type=click.Choice(PURPOSES), default="pre_loan", show_default=True)
@click.option("--classes", type=Numbers(), help="Default: all that the consent covers.")
@click.option("--operator", type=Text(64), required=True, help="The natural person who asks.")
@click.option("--reference", type=Text(64))
@as_json
def query(
    institution: str,
    uscc: str,
    purpose: str,
    classes: tuple[int, ...] | None,
    operator: str,
    reference: str | None,
    as_json: bool,
) -> None:
    """Ask as an institution's client would; on the trail with channel `counter`. The answer is JSON anyhow."""
    del as_json
    answer = counter.ask(institution, uscc, purpose, classes, operator, reference)
    click.echo(answer.body.decode())
