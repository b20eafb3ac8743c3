# SPDX-License-Identifier: Apache-2.0
"""`bureau witness`: cosign other people's logs, with a key and a memory of its own."""

from pathlib import Path

import click

from app import serve, witness
from app.commands import WrongUse, command, main
from audit import witness_store
from kernel.errors import SettingError


@command(main, "witness", opens=False)
@click.option("--store", type=click.Path(dir_okay=False, path_type=Path), default=Path("witness.db"), show_default=True,
              help="The witness's own file: its key and what it cosigned. Never restore it from a copy.")  # fmt: skip
@click.option("--name", help="A URL without scheme, as witness.example/w1: given once, when the file is made.")
@click.option("--log", "logs", multiple=True, help="A log's public key, or a file with one a line; again for more.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8100, show_default=True)
@click.option("--show-key", is_flag=True, help="Print the public key for a policy's `witness` line, and end.")
def run_witness(store: Path, name: str | None, logs: tuple[str, ...], host: str, port: int, show_key: bool) -> None:
    """Serve as a witness (C2SP tlog-witness): cosign what grew out of what was cosigned before, and nothing else."""
    if not store.exists():
        if name is None:
            raise WrongUse(f"there is no witness in {store} yet: give it a --name")
        witness_store.create(store, name)
    opened = witness_store.Store(store)
    if name not in (None, opened.key.name):
        raise SettingError(f"the witness in {store} is named {opened.key.name}, for ever")
    click.echo(str(opened.key))
    if show_key:
        return
    if not logs:
        raise WrongUse("name the logs to witness: --log KEY")
    known = witness.read_logs(logs)
    serve.require_free(host, port)
    witness.serve(host, port, store, known)
