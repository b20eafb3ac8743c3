# SPDX-License-Identifier: Apache-2.0
"""Commands for whoever watches a published log from outside: they need its public key, and no bureau."""

import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import click

from app.commands import as_json, command, main, say
from app.progress import shown
from audit import monitor, notes
from audit.monitor import Fetch
from audit.notes import BadNote, Checkpoint, Verifier
from connectors import outward
from kernel.errors import NotFound, SettingError

File = click.Path(exists=True, dir_okay=False, path_type=Path)
ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))  # who watches says himself where the log is


@main.group("log")
def log_group() -> None:
    """A published log, checked from outside with its public key alone."""


@command(log_group, "check", opens=False)
@click.argument("log", metavar="FOLDER|URL")
@click.option("--key", type=File, required=True, help="The log's public key, kept from when it was first met.")
@click.option("--from", "older", type=File, help="The checkpoint that was seen last.")
@click.option("--to", "newer", type=File, help="A later one. Default: the newest published.")
@click.option("--tiles", "whole", is_flag=True, help="Read every tile too: that nothing of the log is lost.")
@click.option("--keep", type=click.Path(dir_okay=False, path_type=Path), help="Where to put TO if all is well.")
@as_json
def check_log(
    log: str, key: Path, older: Path | None, newer: Path | None, whole: bool, keep: Path | None, as_json: bool
) -> None:
    """Prove that the log of one checkpoint is the beginning of the log of a later one: that it only grew."""
    known, fetch = keys_in(key), _over_http(log) if log.startswith(("http://", "https://")) else _in_folder(Path(log))
    try:
        note = fetch("checkpoint")
        newest = monitor.opened(note, known)
        later = monitor.opened(newer.read_bytes(), known) if newer else newest
        told = {"ok": True, "origin": later.origin, "size": later.size, "root": later.root.hex()}
        if older is not None:
            told |= _grown(monitor.opened(older.read_bytes(), known), later, newest, fetch)
        if whole:
            with shown("tiles") as tell:
                monitor.require_whole(newest, fetch, tell)
    except BadNote as error:
        say({"ok": False, "fault": error.detail}) if as_json else click.echo(f"NOT ok: {error.detail}")
        sys.exit(1)
    if keep is not None:
        keep.write_bytes(newer.read_bytes() if newer else note)
    if as_json:
        say(told)
        return
    click.echo(f"ok: {later.origin} has {later.size} leaves" + (", all tiles there" if whole else ""))
    if older is not None:
        click.echo(f"    and begins with the {told['from']} that were signed before")


def keys_in(file: Path) -> list[Verifier]:
    """The public keys in a file, one a line; raises SettingError."""
    try:
        return [notes.parse_key(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (BadNote, UnicodeDecodeError) as error:
        raise SettingError(f"{file} holds no public key of a log") from error


def _grown(older: Checkpoint, later: Checkpoint, newest: Checkpoint, fetch: Fetch) -> dict[str, Any]:
    monitor.require_grown(later, newest, newest, fetch)
    proof = monitor.require_grown(older, later, newest, fetch)
    return {"from": older.size, "proof": [each.hex() for each in proof]}


def _in_folder(folder: Path) -> Fetch:
    def fetch(path: str) -> bytes:
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"{folder} has no {path}") from error

    return fetch


def _over_http(url: str) -> Fetch:
    def fetch(path: str) -> bytes:
        reply = outward.request("GET", f"{url.rstrip('/')}/{path}", ANYWHERE)
        if reply.status == 404:
            raise NotFound(f"{url} has no {path}")
        if reply.status != 200:
            raise outward.Unreachable(f"{url} answered {reply.status} for {path}")
        return reply.body

    return fetch
