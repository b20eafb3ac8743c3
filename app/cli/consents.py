# SPDX-License-Identifier: Apache-2.0
"""Commands about what enterprises allow, and the question asked at the counter."""

from datetime import timedelta
from typing import Any

import click

from app import counter
from app.commands import Names, Numbers, Text, as_json, command, main, say
from consent import grants
from consent.question import PRODUCTS, PURPOSES
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
@as_json
def grant_consent(
    uscc: str,
    institution: str | None,
    classes: tuple[int, ...],
    purposes: tuple[str, ...],
    scope: str,
    products: tuple[str, ...],
    days: int | None,
    as_json: bool,
) -> None:
    """Write down a consent that an enterprise gave on paper."""
    if scope == "collect" and institution not in (None, "platform"):
        click.echo("bureau: a collect consent is given to the bureau itself; --institution is not used", err=True)
        institution = None
    body: dict[str, Any] = {"uscc": uscc, "scope": scope, "grantee": institution, "classes": classes}
    ends = clock.now() + timedelta(days=days) if days else None
    body |= {"products": products, "purposes": purposes, "not_before": None, "expires_at": ends}
    consent_id = counter.grant(grants.checked(body))
    say({"consent_id": consent_id}) if as_json else click.echo(consent_id)


@command(consent_group, "revoke")
@click.argument("consent_id")
@click.option("--reason", type=Text(400))
def revoke_consent(consent_id: str, reason: str | None) -> None:
    """Write down that an enterprise ended a consent."""
    counter.revoke(consent_id, reason)


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
