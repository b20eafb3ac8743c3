# SPDX-License-Identifier: Apache-2.0
"""Commands about the trail: seal it, verify it, verify what was taken away from it."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from app import config, counter, open_bureau, sealer
from app.commands import as_json, command, main, say
from audit import notes, receipts
from audit.notes import BadNote, Verifier
from kernel import db
from kernel.errors import SettingError

File = click.Path(exists=True, dir_okay=False, path_type=Path)


@command(main, "seal")
@as_json
def seal(as_json: bool) -> None:
    """Seal all committed entries and publish the log. `serve` does it every second."""
    sealed = sealer.seal_once(config.read())
    root = sealed.root.hex() if sealed.root else None
    if as_json:
        say({"size": sealed.size, "root": root, "sealed": sealed.sealed})
    else:
        click.echo(f"{sealed.sealed} entries sealed; the log has {sealed.size}, root {root}")


@command(main, "sealer")
def run_sealer() -> None:
    """Seal every second. `serve` runs one by itself."""
    sealer.run(config.read())


@command(main, "verify", opens=False)
@click.argument("file", type=File, required=False)
@click.option("--key", "key", type=File, help="The log's public key. Default: this log's own.")
@click.option("--body", "body", type=File, help="The answer's body as it was kept, to check against the receipt.")
@as_json
def verify(file: Path | None, key: Path | None, body: Path | None, as_json: bool) -> None:
    """Check the whole trail, or a receipt FILE offline; names every entry or consent that is not what was written."""
    if file is not None:
        _verify_receipt(file, key, body, as_json)
        return
    open_bureau(config.read())
    with db.reading() as reading:
        report = counter.verify(reading, config.read().log_folder)
    if as_json:
        say(asdict(report))
    else:
        for fault in report.faults:
            click.echo(f"{fault.kind} {fault.entry}: {fault.fault}")
        click.echo(
            f"{'ok' if report.ok else 'NOT ok'}: {report.entries} entries checked, {report.size} sealed, "
            f"{report.unsealed} unsealed"
        )
    sys.exit(0 if report.ok else 1)


def _verify_receipt(file: Path, key: Path | None, body: Path | None, as_json: bool) -> None:
    known, content = _keys(key), file.read_text(encoding="utf-8", errors="replace")
    try:
        proved = receipts.check(content, known, body.read_bytes() if body else None)
    except BadNote as error:
        told: dict[str, Any] = {"ok": False, "fault": error.detail}
        say(told) if as_json else click.echo(f"NOT ok: {error.detail}")
        sys.exit(1)
    document, checkpoint = proved.document, proved.checkpoint
    if as_json:
        root = checkpoint.root.hex()
        told = {"ok": True, "index": proved.index, "size": checkpoint.size, "root": root, "origin": checkpoint.origin}
        say({**told, "body": "matches" if body else None, "entry": document})
        return
    click.echo(f"ok: entry {document['id']} ({document['type']}, {document['time']}) is leaf {proved.index}")
    click.echo(f"    of the log {checkpoint.origin}, {checkpoint.size} leaves")
    if body:
        click.echo("    and the body is the answer that it tells of, byte for byte")


def _keys(key: Path | None) -> list[Verifier]:
    file = key or config.read().log_folder / "key"
    try:
        return [notes.parse_key(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError as error:
        raise SettingError("there is no log here: name the bureau's public key with --key FILE") from error
    except (BadNote, UnicodeDecodeError) as error:
        raise SettingError(f"{file} holds no public key of a log") from error
