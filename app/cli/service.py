# SPDX-License-Identifier: Apache-2.0
"""Commands that make, fill, serve, feed and check a bureau."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from app import (
    config,
    counter,
    create_app,
    database,
    demo,
    indexing,
    open_bureau,
    openapi,
    progress,
    rekeying,
    roots,
    screener,
    sealer,
    serve,
    walk,
    worker,
)
from app.commands import Text, WrongUse, as_json, command, main, say
from audit import trail
from bureau import compaction, erasure, intake, reencryption, removal
from connectors import feeds, pulling
from kernel import ciphers, clock
from kernel.errors import SettingError


def _init(settings: config.Settings) -> None:
    """Make a bureau where there is none; raises SettingError rather than touch one that is there."""
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with database.opened(settings.migration_url) as engine:
        if not database.is_empty(engine):
            raise counter.refuse_overwrite(settings)
        roots.create(settings.root_key, settings.cipher_suite)
        database.found(engine, roots.read(settings.root_key), ciphers.BY_NAME[settings.cipher_suite])


@command(main, "init", opens=False)
def init() -> None:
    """Make BUREAU_HOME, the database and the keys; refuses to overwrite."""
    settings = config.read()
    _init(settings)
    click.echo(f"a new bureau in {settings.home}; guard and back up {settings.root_key}", err=True)


@command(main, "upgrade", opens=False)
def upgrade() -> None:
    """Bring a database made by an earlier version up to this one (back it up first)."""
    settings = config.read()
    with database.opened(settings.migration_url) as engine:
        if database.is_empty(engine):
            raise SettingError("BUREAU_DATABASE_URL names a database without a bureau: run `bureau init`")
        database.upgrade(engine, roots.read(settings.root_key))


@command(main, "demo")
@click.option("--enterprises", type=click.IntRange(400, 400_000), default=demo.ENTERPRISES, show_default=True)
@as_json
def fill_demo(enterprises: int, as_json: bool) -> None:
    """Fill an empty bureau with the demo city."""
    with progress.shown("demo city, records", None) as tell:
        credentials = demo.fill(config.read(), enterprises, tell)
    sealer.seal_once(config.read())
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
    sys.exit(serve.serve(host, port, 2, settings.run_folder))


@command(main, "serve")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option("--no-sealer", is_flag=True, help="Another machine runs `bureau sealer`.")
def serve_api(host: str, port: int, workers: int, no_sealer: bool) -> None:
    """Serve the API, with a sealer for the trail and a worker for the housekeeping."""
    sys.exit(serve.serve(host, port, workers, config.read().run_folder, sealer=not no_sealer))


@command(main, "worker")
def work() -> None:
    """Do the housekeeping: compact dossiers. `serve` runs one by itself."""
    worker.run()


@command(main, "screener")
def keep_index_open() -> None:
    """Keep the screening index open for all workers of this machine. `serve` runs one by itself."""
    settings = config.read()
    screener.run(settings.screening_socket or settings.run_folder / "screening.sock")


@command(main, "compact")
@as_json
def compact(as_json: bool) -> None:
    """Merge the folios of every dossier's class where they are many, and remove what has run its time."""
    with progress.shown("removed records") as tell:
        removed = removal.sweep(tell=tell)
    with progress.shown("compacted classes") as tell:
        merged = compaction.sweep(tell)
    told = {"compacted": merged, "removed": removed}
    say(told) if as_json else click.echo(f"{merged} classes compacted, {removed} records removed by retention")


@command(main, "rekey", opens=False)
@click.option("--to", "to", help="Where the new root key is to be: a file, or the pkcs11: URI of a key in an HSM.")
@click.option("--data-keys", is_flag=True, help="Wrap every data key under a new purpose key.")
@click.option("--folios", is_flag=True, help="New data keys, of the suite in BUREAU_CIPHER_SUITE; encrypt all anew.")
@as_json
def rekey(to: str | None, data_keys: bool, folios: bool, as_json: bool) -> None:
    """Replace keys while the bureau serves: the root key, or with an option those below it. Cut off, run it again."""
    settings = config.read()
    if not data_keys and not folios:
        _rekey_root(settings, to, as_json)
        return
    if to is not None:
        raise WrongUse("--to goes with neither --data-keys nor --folios")
    open_bureau(settings)
    told: dict[str, int] = {}
    if data_keys:
        with progress.shown("enterprises whose data keys are wrapped anew") as tell:
            told["data_keys"] = rekeying.rewrap_data_keys(settings, tell)
    if folios:
        with progress.shown("enterprises encrypted anew") as tell:
            told |= asdict(reencryption.reencrypt(tell))
    say(told) if as_json else click.echo(", ".join(f"{name}: {count}" for name, count in told.items()))


def _rekey_root(settings: config.Settings, to: str | None, as_json: bool) -> None:
    kept = rekeying.replace_root(settings, to)
    now = to or str(settings.root_key)
    if as_json:
        say({"root_key": now, "old": str(kept)})
        return
    if to:
        click.echo(f"set BUREAU_ROOT_KEY to {to} before anything starts again")
    click.echo(f"{now} is new: back it up. {kept} opens backups made before, and nothing since;")
    click.echo("destroy it together with the last of those")


@command(main, "shred")
@click.argument("uscc")
@click.option("--reason", type=Text(400), required=True, help="The order or law under which it is destroyed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
def shred(uscc: str, reason: str, yes: bool, as_json: bool) -> None:
    """Destroy for good what is held on an enterprise: its keys, records, rejected rows, directory line."""
    if not yes:
        click.confirm(f"destroy for good all that is held on {uscc}?", abort=True, err=True)
    with trail.recording() as tx:
        gone = erasure.shred(tx, uscc, reason)
    before = clock.rfc3339(gone.backups_before)
    if as_json:
        say({**asdict(gone), "backups_before": before})
        return
    click.echo(f"{gone.records} records on {uscc} destroyed, rows: {gone.rows}")
    click.echo(f"backups, WAL archives and replicas from before {before} still hold them: destroy those too, and")
    click.echo("shred again after any restore. On PostgreSQL run VACUUM FULL folio, data_key to free the old pages.")


@command(main, "index")
@click.option("--processes", type=click.IntRange(1, 64), help="How many compute (default: one for each core).")
@as_json
def index(processes: int | None, as_json: bool) -> None:
    """Compute all indicators anew for screening; goes on where it was interrupted. The service takes them up itself."""
    with progress.shown("indexed enterprises") as tell:
        indexed = indexing.build(tell, processes)
    say({"indexed": indexed}) if as_json else click.echo(f"{indexed} enterprises indexed")


@command(main, "openapi", opens=False)
def print_openapi() -> None:
    """Print the OpenAPI document (YAML)."""
    click.echo(openapi.document(create_app("https://bureau.example")), nl=False)


@command(main, "collect")
@click.argument("feed")
@click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Without it, what is new is fetched as the feed's [transport] says.",
)  # fmt: skip
@as_json
def collect(feed: str, file: Path | None, as_json: bool) -> None:
    """Take a delivery in: FEED is the name of a feed, or a TOML file."""
    loaded = feeds.load(feed)
    with progress.shown(f"{feed}, rows") as tell:
        if file is not None:
            receipts = [intake.receive(feeds.pull(loaded, file), tell)]
        else:
            receipts = pulling.pull_now(loaded, config.secret, tell)
    if as_json:
        say(asdict(receipts[0]) if file is not None else [asdict(receipt) for receipt in receipts])
        return
    for receipt in receipts:
        again = " (received before: this is its first receipt)" if receipt.duplicate else ""
        click.echo(f"batch {receipt.batch}{again}: {receipt.rows} rows, {receipt.accepted} accepted,")
        click.echo(f"  {receipt.rejected} rejected {receipt.reasons or ''}, {receipt.repeated} delivered before")
    if not receipts:
        click.echo("nothing new", err=True)
