# SPDX-License-Identifier: Apache-2.0
"""Commands that serve: the parent, and two of the children that it keeps alive."""

import sys

import click

from app import config, screener, serve, worker
from app.commands import command, main


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
