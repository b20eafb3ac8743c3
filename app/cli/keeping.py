# SPDX-License-Identifier: Apache-2.0
"""Commands that keep what is stored: compact it, encrypt it anew, destroy it."""

from dataclasses import asdict

import click

from app import config, progress, rekeying
from app.commands import Text, WrongUse, as_json, command, main, say
from app.opening import open_bureau
from audit import trail
from bureau import compaction, erasure, reencryption, removal
from kernel import clock


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
