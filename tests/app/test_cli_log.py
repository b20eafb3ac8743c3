# SPDX-License-Identifier: Apache-2.0
"""`bureau log check`, run by someone who has the public key, an old checkpoint, and nothing of the bureau."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select

from audit import publishing, sealing
from audit.models import checkpoint as checkpoints
from kernel import db
from tests.app.conftest import Ran, run_here
from tests.audit.test_sealing import ORIGIN, append
from tests.conftest import House

SIZES = (250, 300, 700)


@pytest.fixture
def seen(house: House, tmp_path: Path) -> Path:
    """A published log in `log`, and what a monitor kept of it: `key`, `250`, `300`, `700`."""
    for size in SIZES:
        append(size - sealing.seal(ORIGIN).size)
        sealing.seal(ORIGIN)
        with db.reading() as reading:
            publishing.publish(reading, tmp_path / "log")
        (tmp_path / str(size)).write_bytes((tmp_path / "log" / "checkpoint").read_bytes())
    (tmp_path / "key").write_bytes((tmp_path / "log" / "key").read_bytes())
    return tmp_path


@pytest.fixture
def over_http(seen: Path) -> Iterator[str]:
    """The folder behind a web server that knows nothing of the bureau."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(seen))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/log"
        server.shutdown()
        thread.join()


def check(seen: Path, log: str, *arguments: str) -> Ran:
    """Run the command where there is no bureau."""
    nowhere = {"BUREAU_HOME": str(seen / "nowhere")}
    ran = run_here(nowhere, "log", "check", log, "--key", str(seen / "key"), "--json", *arguments)
    assert not (seen / "nowhere").exists()
    return ran


@pytest.mark.parametrize("place", ["folder", "http"])
def test_a_log_that_only_grew_is_proved_from_a_folder_and_over_http(seen: Path, over_http: str, place: str) -> None:
    log = over_http if place == "http" else str(seen / "log")
    grown = check(seen, log, "--from", str(seen / "250"), "--tiles", "--keep", str(seen / "kept"))
    assert (grown.code, grown.json["ok"], grown.json["from"], grown.json["size"]) == (0, True, 250, 700)
    assert grown.json["proof"]
    assert (seen / "kept").read_bytes() == (seen / "700").read_bytes()
    between = check(seen, log, "--from", str(seen / "250"), "--to", str(seen / "300"))
    assert (between.code, between.json["size"]) == (0, 300)
    same = check(seen, log, "--from", str(seen / "700"))
    assert (same.code, same.json["proof"]) == (0, [])
    with db.reading() as reading:
        assert grown.json["root"] == reading.scalar(select(checkpoints.c.root).where(checkpoints.c.size == 700)).hex()


def test_what_is_not_the_log_that_was_seen_ends_with_1_and_says_why(seen: Path) -> None:
    log, kept = seen / "log", seen / "kept"
    (log / "checkpoint").write_bytes((seen / "300").read_bytes())
    rolled_back = check(seen, str(log), "--from", str(seen / "700"), "--keep", str(kept))
    assert (rolled_back.code, rolled_back.json["ok"]) == (1, False)
    assert "rolled back" in rolled_back.json["fault"]
    assert not kept.exists()
    (log / "checkpoint").write_text((seen / "700").read_text().replace("\n700\n", "\n699\n"))
    assert "is not over this note" in check(seen, str(log)).json["fault"]
    (log / "checkpoint").write_bytes((seen / "700").read_bytes())
    (log / "tile/0/000").write_bytes(bytes(8192))
    assert "does not begin with" in check(seen, str(log), "--from", str(seen / "250")).json["fault"]
    assert "not made of the tiles below" in check(seen, str(log), "--tiles").json["fault"]
    (log / "tile/0/000").unlink()
    assert "missing" in check(seen, str(log), "--from", str(seen / "250")).json["fault"]


def test_no_log_and_no_key_are_wrong_use(seen: Path, over_http: str) -> None:
    assert "has no checkpoint" in check(seen, str(seen)).complaint
    assert "has no checkpoint" in check(seen, f"{over_http}/tile").complaint
    (seen / "key").write_text("no key\n")
    assert "holds no public key" in check(seen, str(seen / "log")).complaint
