# SPDX-License-Identifier: Apache-2.0
"""Commands that make a bureau, bring it up to date, and fill it with the demo city."""

import json
import sys
from pathlib import Path

import click

from app import config, counter, database, demo, progress, roots, sealer, serve, walk
from app.commands import as_json, command, main, say
from app.opening import open_bureau
from kernel import ciphers
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
@click.option(
    "--files", type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Keep what its departments deliver in this folder.",
)  # fmt: skip
@as_json
def fill_demo(enterprises: int, files: Path | None, as_json: bool) -> None:
    """Fill an empty bureau with the demo city, by the files that its departments deliver."""
    with progress.shown("demo city, records", None) as tell:
        credentials = demo.fill(config.read(), enterprises, files, tell)
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
            demo.fill(settings, demo.ENTERPRISES, tell=tell)
    if settings.demo_file.exists():
        click.echo(walk.text(json.loads(settings.demo_file.read_text()), f"http://{host}:{port}"))
    sys.exit(serve.serve(host, port, 2, settings.run_folder))
