# SPDX-License-Identifier: Apache-2.0
"""The command `bureau`: the bureau's own counter.

Commands that print facts take --json: standard output is then one JSON document and nothing else. Exit codes:
0 done, 1 the answer is no (refused, altered), 2 wrong use or something that cannot be done now.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from access import clients, institutions, people
from app import (
    config,
    counter,
    create_app,
    database,
    demo,
    logs,
    open_bureau,
    openapi,
    progress,
    serve,
    walk,
    worker,
)
from audit import verification
from bureau import compaction, intake
from connectors import feeds
from consent import consents, grants
from consent.question import CLASSES, PRODUCTS, PURPOSES
from kernel import clock, db, keys
from kernel.errors import BureauError, Gone, NotPermitted

P = ParamSpec("P")
R = TypeVar("R")

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


class Numbers(click.ParamType[Any]):
    """A comma-separated list of class numbers."""

    name = "1,2,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            numbers = tuple(sorted({int(each) for each in value.split(",")}))
        except ValueError:
            numbers = ()
        if not numbers or set(numbers) - set(CLASSES):
            self.fail("give class numbers from 1 to 7, separated by commas", param, ctx)
        return numbers


class Names(click.ParamType[Any]):
    """A comma-separated list of known names."""

    name = "A,B,…"

    def __init__(self, known: tuple[str, ...]) -> None:
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        names = tuple(sorted({each.strip() for each in value.split(",")}))
        if unknown := set(names) - set(self.known):
            self.fail(f"{', '.join(sorted(unknown))}: not one of {', '.join(self.known)}", param, ctx)
        return names


@click.group()
@click.version_option(package_name="credit-bureau")
def main() -> None:
    """The command line of a local enterprise credit bureau."""


def command(group: click.Group, name: str, *, opens: bool = True) -> Callable[[Callable[P, R]], click.Command]:
    """A command that says its errors in one line, and opens the bureau first unless told not to."""

    def decorate(function: Callable[P, R]) -> click.Command:
        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                settings = config.read()
                logs.set_up(settings.log_level)
                if opens:
                    open_bureau(settings)
                return function(*args, **kwargs)
            except BureauError as error:
                if kwargs.get("as_json"):
                    say({"error": error.slug, "detail": error.detail})
                click.echo(f"bureau: {error.detail}", err=True)
                sys.exit(1 if isinstance(error, NotPermitted | Gone | keys.Altered) else 2)

        return group.command(name)(guarded)

    return decorate


def say(document: Any) -> None:
    """Print a document as the one JSON on standard output."""
    click.echo(json.dumps(document, ensure_ascii=False))


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
    engine = db.open_engine(settings.migration_url)
    if not database.is_empty(engine):
        raise counter.refuse_overwrite(settings)
    keys.create_root(settings.root_key)
    database.migrate(engine)
    database.begin(engine, keys.read_root(settings.root_key))


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
    if database.is_empty(db.open_engine(settings.migration_url)):
        _init(settings)
    open_bureau(settings)
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
@click.argument("name")
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
@click.option("--uscc", help="The enterprise that a signatory acts for.")
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
@click.option("--uscc", required=True)
@click.option("--institution", help="An institution's id, kind:KIND, or platform (the default).")
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
    body: dict[str, Any] = {"uscc": uscc, "scope": scope, "grantee": institution or "platform", "classes": classes}
    ends = clock.now() + timedelta(days=days) if days else None
    body |= {"products": products, "purposes": purposes, "not_before": None, "expires_at": ends}
    consent_id = counter.grant(grants.checked(body))
    say({"consent_id": consent_id}) if as_json else click.echo(consent_id)


@command(consent_group, "revoke")
@click.argument("consent_id")
@click.option("--reason")
def revoke_consent(consent_id: str, reason: str | None) -> None:
    """Write down that an enterprise ended a consent."""
    counter.revoke(consent_id, reason)


@command(consent_group, "list")
@click.option("--uscc")
@as_json
def list_consents(uscc: str | None, as_json: bool) -> None:
    """Consents, newest first."""
    with db.reading() as reading:
        listed = [counter.consent_line(one) for one in consents.listed(reading, uscc=uscc, limit=100_000)]
    if as_json:
        say(listed)
    for one in [] if as_json else listed:
        click.echo(f"{one['consent_id']}  {one['status']:<10} {one['scope']:<8} {one['uscc']} → {one['grantee']}")


@command(main, "query")
@click.option("--institution", required=True)
@click.option("--uscc", required=True)
@click.option("--purpose", type=click.Choice(PURPOSES), default="pre_loan", show_default=True)
@click.option("--classes", type=Numbers(), help="Default: all that the consent covers.")
@click.option("--operator", required=True, help="The natural person who asks.")
@click.option("--reference")
def query(
    institution: str, uscc: str, purpose: str, classes: tuple[int, ...] | None, operator: str, reference: str | None
) -> None:
    """Ask as an institution's client would; on the trail with channel `counter`."""
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
def compact() -> None:
    """Merge the folios of every dossier's class where they are many."""
    with progress.shown("compacted classes") as tell:
        merged = compaction.sweep(tell)
    click.echo(f"{merged} classes compacted", err=True)


@command(main, "openapi", opens=False)
def print_openapi() -> None:
    """Print the OpenAPI document (YAML)."""
    click.echo(openapi.document(create_app("https://bureau.example")), nl=False)


if __name__ == "__main__":
    main()
