# SPDX-License-Identifier: Apache-2.0
"""`bureau witness` over HTTP: each status code of C2SP tlog-witness, whatever is malformed, and the command."""

import contextlib
import hashlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from flask.testing import FlaskClient

from app import witness as process
from audit import merkle, notes, witness_store
from audit.merkle import EMPTY_ROOT
from audit.notes import Checkpoint
from audit.witness import compose
from kernel.errors import SettingError
from tests.journeys import service
from tests.journeys.witnesses import witnessing
from tests.logs import Log, line

OTHER_SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG, OTHER = Log(), Log("log.example/two", secret=OTHER_SECRET)
FORK = LOG.fork(50)
PLACE = f"/{hashlib.sha256(LOG.origin.encode()).hexdigest()}/checkpoint"


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    witness_store.create(tmp_path / "witness.db", "witness.example")
    logs = {LOG.origin: [LOG.key], OTHER.origin: [Log(OTHER.origin).key, OTHER.key]}
    return process.create_app(tmp_path / "witness.db", logs)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def at_100(client: FlaskClient) -> FlaskClient:
    """A witness that saw the log at size 100."""
    assert client.post("/add-checkpoint", data=LOG.submission(0, 100)).status_code == 200
    return client


def test_200_gives_the_cosignature_and_shows_the_checkpoint_with_it(client: FlaskClient) -> None:
    assert client.get(PLACE).status_code == 404
    first = client.post("/add-checkpoint", data=LOG.submission(0, 100))
    assert (first.status_code, first.text.count("\n")) == (200, 1)
    assert first.text.startswith("— witness.example ")
    assert client.get(PLACE).text == LOG.note(100) + first.text
    second = client.post("/add-checkpoint", data=LOG.submission(100, 600))
    assert client.get(PLACE).text == LOG.note(600) + second.text
    again = client.post("/add-checkpoint", data=LOG.submission(600, 600))
    assert (again.status_code, client.get(PLACE).text) == (200, LOG.note(600) + again.text)


def test_logs_do_not_mix(client: FlaskClient) -> None:
    assert client.post("/add-checkpoint", data=LOG.submission(0, 100)).status_code == 200
    assert client.post("/add-checkpoint", data=OTHER.submission(0, 5)).status_code == 200
    assert client.post("/add-checkpoint", data=OTHER.submission(5, 7)).status_code == 200
    assert client.post("/add-checkpoint", data=LOG.submission(100, 101)).status_code == 200


def test_what_is_cosigned_carries_its_extension_lines_and_only_the_logs_own_signature(client: FlaskClient) -> None:
    note = LOG.note(9, more="an extension\n")
    stranger = notes.sign(notes.split(note)[0], OTHER.key, OTHER.secret.sign)
    answer = client.post("/add-checkpoint", data=compose(0, [], note + str(stranger)))
    assert answer.status_code == 200
    assert client.get(PLACE).text == note + answer.text


def test_409_tells_the_size_in_its_own_type(at_100: FlaskClient) -> None:
    for old in (0, 99, 101):
        answer = at_100.post("/add-checkpoint", data=compose(old, [], LOG.note(200)))
        assert (answer.status_code, answer.data) == (409, b"100\n")
        assert answer.headers["Content-Type"] == "text/x.tlog.size"
    fresh = at_100.post("/add-checkpoint", data=compose(3, [], OTHER.note(5)))
    assert (fresh.status_code, fresh.data) == (409, b"0\n")


def test_409_comes_before_any_proof_is_looked_at(at_100: FlaskClient) -> None:
    assert at_100.post("/add-checkpoint", data=compose(0, [bytes(32)], FORK.note(200))).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        compose(100, [], LOG.note(200)),
        compose(100, LOG.proof(100, 200)[1:], LOG.note(200)),
        compose(100, [*LOG.proof(100, 200), bytes(32)], LOG.note(200)),
        compose(100, FORK.proof(100, 200), FORK.note(200)),
        compose(100, LOG.proof(100, 200), FORK.note(200)),
        compose(100, [], FORK.note(100)),
        compose(100, [bytes(32)], LOG.note(100)),
    ],
)
def test_422_is_for_what_did_not_grow_out_of_what_was_seen(at_100: FlaskClient, body: bytes) -> None:
    assert at_100.post("/add-checkpoint", data=body).status_code == 422
    assert at_100.get(PLACE).text.startswith(LOG.note(100))


def test_422_at_the_empty_tree(client: FlaskClient) -> None:
    assert client.post("/add-checkpoint", data=compose(0, [bytes(32)], LOG.note(5))).status_code == 422
    text = Checkpoint(LOG.origin, 0, bytes(32)).text
    wrong = notes.assemble(text, [notes.sign(text, LOG.key, LOG.secret.sign)])
    assert client.post("/add-checkpoint", data=compose(0, [], wrong)).status_code == 422
    assert LOG.checkpoint(0).root == EMPTY_ROOT
    assert client.post("/add-checkpoint", data=LOG.submission(0, 0)).status_code == 200
    assert client.post("/add-checkpoint", data=LOG.submission(0, 5)).status_code == 200


def test_404_is_for_a_log_that_is_not_witnessed_here(client: FlaskClient) -> None:
    assert client.post("/add-checkpoint", data=Log("log.example/three").submission(0, 5)).status_code == 404
    for path in ("/", "/x/checkpoint", "/checkpoint", PLACE, PLACE.upper()):
        assert client.get(path).status_code == 404
    assert client.get("/add-checkpoint").status_code == 405


def test_403_is_for_a_checkpoint_that_the_log_did_not_sign(client: FlaskClient) -> None:
    text = LOG.checkpoint(5).text
    own = notes.sign(text, LOG.key, LOG.secret.sign)
    forged = notes.sign(text, LOG.key, OTHER_SECRET.sign)
    for signatures in ([forged], [own, forged], [notes.sign(text, OTHER.key, OTHER.secret.sign)]):
        body = compose(0, [], notes.assemble(text, signatures))
        assert client.post("/add-checkpoint", data=body).status_code == 403
    # A key speaks for its own log only.
    text = LOG.checkpoint(5).text.replace(LOG.origin, OTHER.origin)
    body = compose(0, [], notes.assemble(text, [notes.sign(text, LOG.key, LOG.secret.sign)]))
    assert client.post("/add-checkpoint", data=body).status_code == 403


NOTE, ROOT = LOG.note(5), line(merkle.leaf_hash(b"x"))


@pytest.mark.parametrize(
    "body",
    [
        "", "\n", "old 0\n", "old 0\n\n", "old 0\n\n\n", f"\n{NOTE}", f"old\n\n{NOTE}", f"old \n\n{NOTE}",
        f"old 00\n\n{NOTE}", f"old 05\n\n{NOTE}", f"old -1\n\n{NOTE}", f"old +1\n\n{NOTE}", f"old 1 \n\n{NOTE}",
        f"old  1\n\n{NOTE}", f"old 1.0\n\n{NOTE}", f"old \u0661\n\n{NOTE}", f"OLD 0\n\n{NOTE}", f" old 0\n\n{NOTE}",
        f"old {2**63}\n\n{NOTE}", f"old {'9' * 5000}\n\n{NOTE}", f"size 0\n\n{NOTE}", f"old 0\r\n\r\n{NOTE}",
        f"old 0\nAAAA\n\n{NOTE}", f"old 0\n{ROOT.strip()}=\n\n{NOTE}", f"old 0\n {ROOT}\n{NOTE}",
        f"old 0\n{ROOT.replace('=', '')}\n{NOTE}", f"old 1\n{ROOT * 64}\n{NOTE}", f"old 0\n{NOTE}",
        f"old 6\n\n{NOTE}", "old 0\n\nnonsense\n", f"old 0\n\n{NOTE.rstrip()}", f"old 0\n\n{NOTE}{NOTE}",
        f"old 0\n\n{NOTE}\n", f"old 0\n\n{NOTE.replace(LOG.origin + chr(10) + '5', LOG.origin + chr(10) + '05', 1)}",
        f"old 0\n\n{NOTE.replace(chr(10) + '5', chr(10) + '9' * 4999, 1)}",
        f"old 0\n\n{NOTE.replace(chr(10) + '5', '', 1)}", f"old 0\n\n{NOTE.replace(LOG.origin, '', 1)}",
    ],
)  # fmt: skip
def test_400_is_for_what_cannot_be_read(client: FlaskClient, body: str) -> None:
    assert client.post("/add-checkpoint", data=body.encode()).status_code == 400
    assert client.get(PLACE).status_code == 404, "nothing was cosigned"


def test_400_is_for_what_is_not_utf8(client: FlaskClient) -> None:
    assert client.post("/add-checkpoint", data=LOG.submission(0, 5).replace(b"\xe2", b"\xff")).status_code == 400


def test_bodies_are_bounded(client: FlaskClient) -> None:
    padded = LOG.submission(0, 5) + ("— x " + "A" * 1000 + "\n").encode() * 70
    assert client.post("/add-checkpoint", data=padded).status_code == 413
    assert client.get(PLACE).status_code == 404


def test_both_keys_of_a_log_that_changes_its_key_are_known(tmp_path: Path) -> None:
    successor = Log(secret=OTHER_SECRET)
    (tmp_path / "keys").write_text(f"{LOG.key}\n\n{successor.key}\n")
    logs = process.read_logs((str(tmp_path / "keys"), str(OTHER.key)))
    assert logs == {LOG.origin: [LOG.key, successor.key], OTHER.origin: [OTHER.key]}
    for wrong in ("name+key", str(tmp_path / "witness.db")):
        (tmp_path / "witness.db").write_bytes(b"\xff\n")
        with pytest.raises(SettingError, match="--log"):
            process.read_logs((wrong,))


# The process


@pytest.fixture
def running(tmp_path: Path) -> Iterator[service.Service]:
    with witnessing(tmp_path / "witness.db", "witness.example", [str(LOG.key)]) as witness:
        yield witness


def test_it_serves_ends_at_a_signal_and_remembers(tmp_path: Path) -> None:
    file = tmp_path / "witness.db"
    with witnessing(file, "witness.example", [str(LOG.key)]) as witness:
        assert witness.call("POST", "/add-checkpoint", LOG.submission(0, 100)).status == 200
        witness.process.send_signal(signal.SIGTERM)
        assert witness.process.wait(10) == 0
        assert service.wait_until(lambda: not witness.processes(), 2)
    with witnessing(file, "witness.example", [str(LOG.key)], port=witness.port) as witness:
        assert witness.call("POST", "/add-checkpoint", LOG.submission(0, 200)).body == b"100\n"


def test_a_caller_who_never_finishes_is_no_one_elses_trouble(running: service.Service) -> None:
    with contextlib.ExitStack() as callers:
        for _ in range(8):
            caller = callers.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            caller.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 99\r\n\r\nold")
        assert running.call("POST", "/add-checkpoint", LOG.submission(0, 5), within_s=5).status == 200


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    file = str(tmp_path / "w.db")
    nameless = service.run({}, "witness", "--store", file)
    assert (nameless.returncode, nameless.stderr.count("\n")) == (2, 1)
    assert "--name" in nameless.stderr
    made = service.run({}, "witness", "--store", file, "--name", "witness.example/w9", "--show-key")
    assert (made.returncode, notes.parse_key(made.stdout).name) == (0, "witness.example/w9")
    assert service.run({}, "witness", "--store", file, "--show-key").stdout == made.stdout
    assert "named witness.example/w9" in service.run({}, "witness", "--store", file, "--name", "w8").stderr
    assert "--log" in service.run({}, "witness", "--store", file).stderr
    assert "no public key" in service.run({}, "witness", "--store", file, "--log", "a+b").stderr
