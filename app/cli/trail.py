# SPDX-License-Identifier: Apache-2.0
"""Commands about the trail: seal it, verify it, verify what was taken away from it."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

from app import config, counter, sealer
from app.cli.log import keys_in
from app.commands import as_json, command, main, say
from app.opening import open_bureau
from audit import export, exported, log, receipts, recount, trail, trust
from audit.events import Event
from audit.notes import BadNote, Verifier
from audit.trust import Policy
from kernel import db, signing
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
@click.option("--policy", "policy", type=File, help="Who must have cosigned. Default: BUREAU_WITNESS_POLICY, if set.")
@click.option("--body", "body", type=File, help="The answer's body as it was kept, to check against the receipt.")
@click.option("--export", "taken", type=File, help="An export of its leaves: FILE is a reward statement, recounted.")
@click.option("--jwks", "jwks", type=File, help="The bureau's keys (/oauth/jwks), where it signed. Default: its own.")
@as_json
def verify(
    file: Path | None,
    key: Path | None,
    policy: Path | None,
    body: Path | None,
    taken: Path | None,
    jwks: Path | None,
    as_json: bool,
) -> None:
    """Check the whole trail, or FILE (receipt, export, statement) offline; names what is not what was written."""
    if file is not None and taken is not None:
        _verify_statement(file, taken, _trusted(key, policy), jwks, as_json)
        return
    if file is not None:
        _verify_file(file, _trusted(key, policy), body, jwks, as_json)
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


@command(main, "export")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Mode 0600.")
@click.option("--format", "form", type=click.Choice(export.FORMS), default="ndjson", show_default=True)
@click.option("--from", "first", type=click.IntRange(0), default=0, help="The first leaf. Default: 0.")
@click.option("--to", "last", type=click.IntRange(1), help="One beyond the last leaf. Default: all that is sealed.")
@as_json
def export_log(out: Path, form: export.Form, first: int, last: int | None, as_json: bool) -> None:
    """Write the sealed log, or a range of it, to a file, an entry a line, with its proof beside it (FILE.proof)."""
    with db.reading() as reading:
        head = log.shown(reading)
        until = last or (head.size if head else 0)
        export.proof(reading, first, until)  # a range that is none is refused before it is written down
    with trail.recording() as tx:
        detail = {"from": first, "to": until, "format": form}
        trail.append(tx, trail.Entry(type=Event.LOG_EXPORTED, actor="counter", channel="counter", detail=detail))
    export.write(out, first, until, form)
    told = {"lines": until - first, "file": str(out)}
    say(told) if as_json else click.echo(f"{until - first} entries in {out}, their proof in {export.proof_of(out)}")


def _verify_file(file: Path, trusted: Policy, body: Path | None, jwks: Path | None, as_json: bool) -> None:
    with file.open("rb") as start:
        is_export = not start.read(4).startswith(b"c2sp")
    try:
        if is_export:
            _verify_export(file, trusted, jwks, as_json)
        else:
            _verify_receipt(file, trusted, body, as_json)
    except BadNote as error:
        _refuse(error, as_json)


def _refuse(error: BadNote, as_json: bool) -> NoReturn:
    say({"ok": False, "fault": error.detail}) if as_json else click.echo(f"NOT ok: {error.detail}")
    sys.exit(1)


def _verify_statement(file: Path, taken: Path, trusted: Policy, jwks: Path | None, as_json: bool) -> None:
    public = _public_keys(jwks)
    try:
        found = recount.check(file.read_bytes(), public, taken, _proof_of(taken), (), trusted)
    except BadNote as error:
        _refuse(error, as_json)
    if as_json:
        say({"ok": True, **{name: found[name] for name in ("year", "number", "billable", "reward_fen", "root")}})
    else:
        click.echo(f"ok: the entries give every figure of the statement {found['year']}/{found['number']}")
        click.echo(f"    {found['billable']} billable × {found['rate_fen']} fen: {found['reward_fen']} fen")


def _public_keys(jwks: Path | None) -> list[dict[str, Any]]:
    if jwks is not None:
        try:
            return list(orjson.loads(jwks.read_bytes())["keys"])
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise SettingError(f"{jwks} is no JWK set: save /oauth/jwks") from error
    open_bureau(config.read())
    with db.reading() as reading:
        return signing.public_keys(reading, "reward", "export")


def _verify_export(file: Path, trusted: Policy, jwks: Path | None, as_json: bool) -> None:
    trailer = exported.trailer_of(file)
    with file.open("rb") as lines:
        checked = exported.check(lines, _proof_of(file), (), trusted)
    left_out = checked.last - checked.first - checked.lines
    choice = exported.check_choice(checked, trailer, _public_keys(jwks) if left_out else [])
    checkpoint, until = checked.checkpoint, checked.last
    if as_json:
        told = {"ok": True, "size": checkpoint.size, "root": checkpoint.root.hex(), "origin": checkpoint.origin}
        say({**told, "from": checked.first, "to": until, "shown": checked.lines, "asked": choice and choice["asked"]})
    else:
        click.echo(f"ok: {checked.lines} entries, leaves {checked.first} to {until - 1}, none missing")
        if choice is not None:
            click.echo(f"    {left_out} leaves left out, as the bureau signed: {choice['asked']}")
        click.echo(f"    of the log {checkpoint.origin}, {checkpoint.size} leaves")


def _verify_receipt(file: Path, trusted: Policy, body: Path | None, as_json: bool) -> None:
    content = file.read_text(encoding="utf-8", errors="replace")
    proved = receipts.check(content, (), body.read_bytes() if body else None, trusted)
    document, checkpoint = proved.document, proved.checkpoint
    if as_json:
        root = checkpoint.root.hex()
        told: dict[str, Any] = {
            "ok": True,
            "index": proved.index,
            "size": checkpoint.size,
            "root": root,
            "origin": checkpoint.origin,
        }
        say({**told, "body": "matches" if body else None, "entry": document})
        return
    click.echo(f"ok: entry {document['id']} ({document['type']}, {document['time']}) is leaf {proved.index}")
    click.echo(f"    of the log {checkpoint.origin}, {checkpoint.size} leaves")
    if body:
        click.echo("    and the body is the answer that it tells of, byte for byte")


def _proof_of(file: Path) -> str:
    """An export's proof: in its last line, or in the file beside it."""
    trailer = exported.trailer_of(file)
    if trailer is not None:
        return trailer.proof
    try:
        return export.proof_of(file).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise SettingError(
            f"{export.proof_of(file)} is missing, and the export ends without its proof: was it cut off?"
        ) from error


def _trusted(key: Path | None, file: Path | None) -> Policy:
    """Whose word counts: the policy's, with the log's keys from --key, else from the policy, else this log's own."""
    file = file or config.read().witness_policy
    policy = trust.read(file) if file else trust.NO_QUORUM
    return policy if policy.logs and key is None else replace(policy, logs=tuple(_keys(key)))


def _keys(key: Path | None) -> list[Verifier]:
    try:
        return keys_in(key or config.read().log_folder / "key")
    except FileNotFoundError as error:
        raise SettingError("there is no log here: name the bureau's public key with --key FILE") from error
