# SPDX-License-Identifier: Apache-2.0
"""Commands about institutions and the OAuth2 clients of institutions and sources."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import orjson

from access import client_keys, client_lists, clients, institutions, lifecycle, registered
from access.institutions import MAX_PER_DAY, MAX_PER_SECOND, PRODUCTS, PURPOSES
from app import counter
from app.commands import Names, Text, as_json, command, main, say
from audit import trail
from kernel import db, jose

NOTHING = "-"  # on the command line: take away what is set


class JwksFile(click.ParamType[Any]):
    """A file that holds a JWK set, or a single JWK."""

    name = "FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        try:
            document = orjson.loads(Path(value).read_bytes())
        except (OSError, orjson.JSONDecodeError) as error:
            self.fail(f"{value}: {error.strerror if isinstance(error, OSError) else 'not JSON'}", param, ctx)
        if not isinstance(document, dict):
            self.fail(f"{value} holds no JWK set", param, ctx)
        return {"keys": [document]} if "kty" in document else document


@main.group("institution")
def institution_group() -> None:
    """Institutions that query."""


@main.group("client")
def client_group() -> None:
    """OAuth2 clients of institutions and sources."""


@command(institution_group, "add")
@click.argument("name", type=Text(200))
@click.option("--kind", type=click.Choice(institutions.KINDS), required=True)
@as_json
def add_institution(name: str, kind: str, as_json: bool) -> None:
    """Register an institution, approved at once, for all products and purposes."""
    with trail.recording() as tx:
        added = institutions.add(tx, name, kind)
    say({"institution": added}) if as_json else click.echo(added)


@command(institution_group, "list")
@as_json
def list_institutions(as_json: bool) -> None:
    """All institutions."""
    with db.reading() as reading:
        listed = institutions.list_all(reading)
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        click.echo(f"{one['institution']}  {one['status']:<10} {one['kind']:<10} {one['name']}")


@command(institution_group, "show")
@click.argument("institution")
@as_json
def show_institution(institution: str, as_json: bool) -> None:
    """One institution with what its contract allows; JSON anyhow."""
    del as_json
    with db.reading() as reading:
        say(institutions.document(reading, institution))


@command(institution_group, "set")
@click.argument("institution")
@click.option("--contract-ref", type=Text(120))
@click.option("--contract-until", type=click.DateTime(("%Y-%m-%d",)), help="The last day; it has no end: 9999-12-31.")
@click.option("--products", type=Names((*PRODUCTS, NOTHING)), help="Comma-separated; - allows all.")
@click.option("--purposes", type=Names((*PURPOSES, NOTHING)), help="Comma-separated; - allows all.")
@click.option("--networks", type=Text(2_000), help="Comma-separated CIDRs; - allows all.")
@click.option("--per-second", type=click.IntRange(-1, MAX_PER_SECOND), help="Requests of all clients; -1: no limit.")
@click.option("--per-day", type=click.IntRange(-1, MAX_PER_DAY), help="Questions a day; -1: no quota.")
@as_json
def set_institution(institution: str, as_json: bool, **given: Any) -> None:
    """Change what an institution's contract allows; counts from the next request on."""
    del as_json
    with trail.recording() as tx:
        institutions.change(tx, institution, terms_of(given))
        say(institutions.document(tx, institution))


@command(client_group, "add")
@click.argument("party", metavar="INSTITUTION|SOURCE")
@click.option("--scope", required=True, help="Comma- or space-separated scopes.")
@click.option("--auth", type=click.Choice(registered.AUTH_METHODS), default="client_secret_basic", show_default=True)
@click.option("--jwks", type=JwksFile(), help="With private_key_jwt: a file with its public keys.")
@click.option("--jwks-uri", type=Text(client_keys.MOST_URI), help="With private_key_jwt: where it publishes them.")
@click.option("--alg", "algorithms", type=Names(jose.ALGORITHMS), help="What it may sign with; default: all that fit.")
@click.option("--dpop", "dpop_bound", is_flag=True, help="It gets only tokens that are bound to a key (RFC 9449).")
@click.option("--per-second", type=click.IntRange(0, MAX_PER_SECOND), help="Its own limit; default: what is shipped.")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Where an enterprise's answer may be sent.")
@as_json
def add_client(party: str, scope: str, auth: str, as_json: bool, **asked: Any) -> None:
    """Register a client; its secret, if it has one, is shown once."""
    asked |= {"scopes": scope.replace(",", " ").split(), "auth_method": auth}
    _show_secret(*counter.add_client(party, asked), as_json)


@command(client_group, "redirect")
@click.argument("client_id")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="Each one; none: it asks by redirect no longer.")
def redirect_client(client_id: str, redirect_uris: tuple[str, ...]) -> None:
    """Replace the addresses to which an enterprise's answer may be sent."""
    with trail.recording() as tx:
        clients.redirect_to(tx, client_id, redirect_uris)


@command(client_group, "rotate")
@click.argument("client_id")
@click.option(
    "--overlap-hours", type=click.IntRange(0, clients.MAX_OVERLAP_HOURS), default=24, show_default=True,
    help="How long what it had before works on.",
)  # fmt: skip
@click.option("--jwks", type=JwksFile(), help="Of a client that signs: a file with its public keys from now on.")
@click.option("--jwks-uri", type=Text(client_keys.MOST_URI), help="Of a client that signs: where it publishes them.")
@as_json
def rotate_client(client_id: str, overlap_hours: int, as_json: bool, **asked: Any) -> None:
    """Give a client a new secret, shown once, or other keys."""
    overlap, keys = timedelta(hours=overlap_hours), clients.keys_as_asked(asked)
    with trail.recording() as tx:
        if keys is not None:
            clients.rotate_keys(tx, client_id, keys, overlap)
        secret = clients.rotate(tx, client_id, overlap) if keys is None else None
    _show_secret(client_id, secret, as_json)


@command(client_group, "list")
@click.argument("party", metavar="[INSTITUTION|SOURCE]", required=False)
@as_json
def list_clients(party: str | None, as_json: bool) -> None:
    """Clients, the newest first, all or those of one party."""
    with db.reading() as reading:
        listed = client_lists.listed(reading, party)
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        of = one["institution"] or one["source"]
        signs = one["auth_method"] == registered.SIGNED
        held = f"{len(one['keys'])} key(s)" if signs else f"{len(one['secrets'])} secret(s)"
        click.echo(f"{one['client_id']}  {one['status']:<8} {held}  {of}")


@command(client_group, "limit")
@click.argument("client_id")
@click.option("--per-second", type=click.IntRange(-1, MAX_PER_SECOND), required=True, help="-1: what is shipped.")
def limit_client(client_id: str, per_second: int) -> None:
    """Set how many requests a second a client may make."""
    with trail.recording() as tx:
        clients.limit(tx, client_id, per_second if per_second >= 0 else None)


@command(client_group, "disable")
@click.argument("client_id")
def disable_client(client_id: str) -> None:
    """Disable a client: its secrets and its tokens stop working at once."""
    with trail.recording() as tx:
        clients.disable(tx, client_id)


@command(client_group, "enable")
@click.argument("client_id")
def enable_client(client_id: str) -> None:
    """Take a disabling back."""
    with trail.recording() as tx:
        clients.enable(tx, client_id)


def terms_of(given: dict[str, Any]) -> dict[str, Any]:
    """Options as terms: what was not given is left out, what says "nothing" becomes nothing."""
    terms: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if name == "networks":
            terms[name] = () if value == NOTHING else tuple(value.split(","))
        elif isinstance(value, tuple):
            terms[name] = tuple(each for each in value if each != NOTHING)
        elif isinstance(value, datetime):
            terms[name] = None if value.date() == date.max else value.date()
        else:
            terms[name] = None if value in (NOTHING, -1) else value
    return terms


def _act_command(act: str) -> None:
    @command(institution_group, act)
    @click.argument("institution")
    @click.option("--reason", type=Text(400), required=act in lifecycle.NEEDS_REASON)
    @as_json
    def change_status(institution: str, reason: str | None, as_json: bool) -> None:
        with trail.recording() as tx:
            status = institutions.act(tx, institution, act, reason=reason)
        say({"institution": institution, "status": status}) if as_json else click.echo(status)

    change_status.help = f"{act.capitalize()} an institution."


def _show_secret(client_id: str, secret: str | None, as_json: bool) -> None:
    if as_json:
        say({"client_id": client_id, "client_secret": secret})
    else:
        click.echo(f"client id {client_id}" + (f"\nclient secret (shown once) {secret}" if secret else ""))


for _act in lifecycle.ACTS:
    _act_command(_act)
