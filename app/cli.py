# SPDX-License-Identifier: Apache-2.0
"""The command `bureau`: the bureau's own counter.

Commands that print facts take --json: standard output is then one JSON document and nothing else.
"""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from access import clients, institutions, people
from app import (
    config,
    counter,
    create_app,
    database,
    demo,
    open_bureau,
    openapi,
    progress,
    serve,
    walk,
    worker,
)
from app.commands import Counter, Names, Numbers, Text, as_json, command, say
from audit import verification
from bureau import compaction, intake
from connectors import feeds
from consent import grants
from consent.question import PRODUCTS, PURPOSES
from kernel import clock, db, keys


@click.group(cls=Counter)
@click.version_option(package_name="credit-bureau")
def main() -> None:
    """The command line of a local enterprise credit bureau."""


@main.group("institution")
def institution_group() -> None:
    """Institutions that query."""


@main.group("client")
def client_group() -> None:
    """OAuth2 clients of institutions and sources."""


@main.group("person")
def person_group() -> None:
    """People who sign in."""


@main.group("consent")
def consent_group() -> None:
    """What enterprises allow, written down at the counter."""


def _init(settings: config.Settings) -> None:
    """Make a bureau where there is none; raises SettingError rather than touch one that is there."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with database.opened(settings.migration_url) as engine:
        if not database.is_empty(engine):
            raise counter.refuse_overwrite(settings)
        keys.create_root(settings.root_key)
        database.found(engine, keys.read_root(settings.root_key))


@command(main, "init", opens=False)
def init() -> None:
    """Make BUREAU_HOME, the database and the keys; refuses to overwrite."""
    settings = config.read()
    _init(settings)
    click.echo(f"a new bureau in {settings.home}; guard and back up {settings.root_key}", err=True)


@command(main, "demo")
@click.option("--enterprises", type=click.IntRange(400, 400_000), default=demo.ENTERPRISES, show_default=True)
@as_json
def fill_demo(enterprises: int, as_json: bool) -> None:
    """Fill an empty bureau with the demo city."""
    with progress.shown("demo city, records", None) as tell:
        credentials = demo.fill(config.read(), enterprises, tell)
    if as_json:
        say(credentials)
    else:
        click.echo(f"the demo city is in; its credentials are in {config.read().demo_file}", err=True)


@command(main, "up", opens=False)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
def up(host: str, port: int) -> None:
    """Initialise and fill with the demo city where there is nothing yet, print a walk, serve (`make run`)."""
    settings = config.read()
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with database.opened(settings.migration_url) as engine:
        is_new = database.is_empty(engine)
    if is_new:
        _init(settings)
    open_bureau(settings)
    demo.require_whole(settings)
    if demo.is_empty():
        with progress.shown("demo city, records", None) as tell:
            demo.fill(settings, demo.ENTERPRISES, tell)
    if settings.demo_file.exists():
        click.echo(walk.text(json.loads(settings.demo_file.read_text()), f"http://{host}:{port}"))
    sys.exit(serve.serve(host, port, workers=2))


@command(main, "serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True)
def serve_api(host: str, port: int, workers: int) -> None:
    """Serve the API, with a worker for the housekeeping."""
    sys.exit(serve.serve(host, port, workers))


@command(main, "worker")
def work() -> None:
    """Do the housekeeping: compact dossiers. `serve` runs one by itself."""
    worker.run()


@command(main, "collect")
@click.argument("feed")
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@as_json
def collect(feed: str, file: Path, as_json: bool) -> None:
    """Take a delivery in: FEED is the name of a feed, or a TOML file."""
    with progress.shown(f"{feed}, rows") as tell:
        receipt = intake.receive(feeds.pull(feeds.load(feed), file), tell)
    if as_json:
        say(asdict(receipt))
        return
    again = " (received before: this is its first receipt)" if receipt.duplicate else ""
    click.echo(f"batch {receipt.batch}{again}: {receipt.rows} rows, {receipt.accepted} accepted,")
    click.echo(f"  {receipt.rejected} rejected {receipt.reasons or ''}, {receipt.repeated} delivered before")


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


@command(person_group, "add")
@click.option("--role", type=click.Choice(tuple(people.ROLE_SCOPES)), required=True)
@click.option("--uscc", type=Text(32), help="The enterprise that a signatory acts for.")
@as_json
def add_person(role: str, uscc: str | None, as_json: bool) -> None:
    """Register a person; the password is shown once."""
    with db.transaction() as tx:
        username, password = people.add(tx, role, uscc)
    if as_json:
        say({"username": username, "password": password})
    else:
        click.echo(f"username {username}\npassword (shown once) {password}")


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


@command(main, "verify")
@as_json
def verify(as_json: bool) -> None:
    """Recompute the trail and name every entry that is not what was written."""
    with db.reading() as reading:
        report = verification.verify(reading)
    if as_json:
        say(asdict(report))
    else:
        for fault in report.faults:
            click.echo(f"entry {fault.entry}: {fault.fault}")
        click.echo(f"{'ok' if report.ok else 'NOT ok'}: {report.entries} entries checked, {report.unsealed} unsealed")
    sys.exit(0 if report.ok else 1)


@command(main, "compact")
@as_json
def compact(as_json: bool) -> None:
    """Merge the folios of every dossier's class where they are many."""
    with progress.shown("compacted classes") as tell:
        merged = compaction.sweep(tell)
    say({"compacted": merged}) if as_json else click.echo(f"{merged} classes compacted")


@command(main, "openapi", opens=False)
def print_openapi() -> None:
    """Print the OpenAPI document (YAML)."""
    click.echo(openapi.document(create_app("https://bureau.example")), nl=False)


if __name__ == "__main__":
    main()
