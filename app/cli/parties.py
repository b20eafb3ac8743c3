# SPDX-License-Identifier: Apache-2.0
"""Commands about institutions and the OAuth2 clients of institutions and sources."""

import click

from access import clients, institutions
from app import counter
from app.commands import Text, as_json, command, main, say
from kernel import db


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
    """Register an institution, approved at once."""
    with db.transaction() as tx:
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


@command(client_group, "add")
@click.argument("party", metavar="INSTITUTION|SOURCE")
@click.option("--scope", required=True, help="Comma- or space-separated scopes.")
@click.option("--auth", type=click.Choice(clients.AUTH_METHODS), default="client_secret_basic", show_default=True)
@as_json
def add_client(party: str, scope: str, auth: str, as_json: bool) -> None:
    """Register a client; its secret is shown once."""
    del auth  # one method so far
    client_id, secret = counter.add_client(party, tuple(scope.replace(",", " ").split()))
    if as_json:
        say({"client_id": client_id, "client_secret": secret})
    else:
        click.echo(f"client id {client_id}\nclient secret (shown once) {secret}")


@command(client_group, "disable")
@click.argument("client_id")
def disable_client(client_id: str) -> None:
    """End a client: its secret and its tokens stop working at once."""
    with db.transaction() as tx:
        clients.disable(tx, client_id)
