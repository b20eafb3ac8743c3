# SPDX-License-Identifier: Apache-2.0
"""A witness as a process: two routes over its own file (C2SP tlog-witness). It knows nothing of a bureau's database.

POST /add-checkpoint                     200 the cosignature; 400, 403, 404, 409, 413, 422 as the specification says
GET  /<SHA-256 of the origin>/checkpoint the latest checkpoint of a log with the cosignature; 404 before the first
"""

import hashlib
import time
from functools import partial
from pathlib import Path

from flask import Flask, Response, request
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server
from werkzeug.exceptions import HTTPException

from audit import notes, witness
from audit.notes import BadNote
from audit.witness import SIZE_TYPE, Behind, Logs
from audit.witness_store import Store
from kernel import web
from kernel.errors import NotFound, SettingError

THREADS = 32  # requests at once; each but waits for its turn at the file
BACKLOG = 128


def create_app(file: Path, logs: Logs) -> Flask:
    """The WSGI application of the witness in a file, for these logs."""
    app, store = Flask("witness", static_folder=None), Store(file)
    app.config["BUREAU_PUBLIC_URL"] = ""
    web.install(app)
    app.register_error_handler(HTTPException, lambda error: error)
    app.register_error_handler(Behind, _tell_size)

    @app.post("/add-checkpoint")
    def add_checkpoint() -> Response:
        submission = witness.parse(request.get_data())
        signed = witness.require_vouched(submission, logs)
        return _text(str(store.cosign(submission, signed, int(time.time()))))

    @app.get("/<origin_hash>/checkpoint")
    def show_checkpoint(origin_hash: str) -> Response:
        for origin, note in store.latest():
            if hashlib.sha256(origin.encode()).hexdigest() == origin_hash:
                return _text(note)
        raise NotFound("no checkpoint of such a log was cosigned here")

    return app


def serve(host: str, port: int, file: Path, logs: Logs) -> None:
    """Serve until told to stop, in one worker process that is started again where it dies."""
    server = Server(
        "app.witness:create_app",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=THREADS,
        backlog=BACKLOG,
        websockets=False,
        log_level=LogLevels.error,
        respawn_failed_workers=True,
    )
    server.serve(target_loader=partial(create_app, file, logs), wrap_loader=False)


def read_logs(given: tuple[str, ...]) -> Logs:
    """Logs by origin, from public keys: each the key itself, or a file with one a line. Raises SettingError."""
    logs: dict[str, list[notes.Verifier]] = {}
    for each in given:
        try:
            lines = [each] if "+" in each else Path(each).read_text(encoding="utf-8").splitlines()
            for key in [notes.parse_key(line) for line in lines if line.strip()]:
                logs.setdefault(key.name, []).append(key)
        except (BadNote, UnicodeDecodeError) as error:
            raise SettingError(f"--log {each} is no public key of a log, and no file with one a line") from error
    return logs


def _tell_size(error: Behind) -> Response:
    return Response(f"{error.size}\n", 409, content_type=SIZE_TYPE)


def _text(content: str) -> Response:
    return Response(content, content_type="text/plain; charset=utf-8")
