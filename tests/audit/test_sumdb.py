# SPDX-License-Identifier: Apache-2.0
"""A published log and real receipts, read by Go's sumdb: an implementation that knows nothing of ours.

The program is tests/oracles/sumdb/main.go, built here. Go missing is a failure, not a skip.
"""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from audit import log, merkle, notes, publishing, receipts, sealing
from audit.models import leaf as leaves
from kernel import db
from tests.audit.test_sealing import ORIGIN, append, hashes
from tests.conftest import House

SOURCE = Path(__file__).parents[1] / "oracles" / "sumdb" / "main.go"
GOPATH = "/usr/share/gocode"  # where Debian's golang-golang-x-mod-dev puts its sources
STEPS = (250, 7, 256, 90)
SIZE = sum(STEPS)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built without any network."""
    go, sumdb = shutil.which("go"), Path(GOPATH) / "src/golang.org/x/mod/sumdb"
    if go is None or not sumdb.is_dir():
        pytest.fail("Go or golang.org/x/mod is missing: scripts/tools.sh brings both")
    folder = tmp_path_factory.mktemp("sumdb")
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOFLAGS": "",
        "GOPATH": GOPATH,
        "GOCACHE": str(folder / "cache"),
    }
    done = subprocess.run(
        [go, "build", "-o", str(folder / "sumdb"), str(SOURCE)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "sumdb"


@pytest.fixture
def published(house: House, tmp_path: Path) -> Path:
    """The folder of a log that was sealed and published in steps."""
    for step in STEPS:
        append(step)
        sealing.seal(ORIGIN)
        with db.reading() as reading:
            publishing.publish(reading, tmp_path / "log")
    return tmp_path / "log"


def ask(oracle: Path, key: str, **request: Any) -> Any:
    told = subprocess.run(
        [oracle], input=json.dumps({"key": key, **request}), capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout)


def text(found: bytes) -> str:
    return base64.b64encode(found).decode()


def test_sumdb_reads_what_we_publish_and_finds_the_same_tree(oracle: Path, published: Path) -> None:
    told = ask(oracle, (published / "key").read_text().strip(), folder=str(published))
    assert told["log"] == ""
    assert (told["origin"], told["size"]) == (ORIGIN, SIZE)
    assert told["leaves"] == [text(each) for each in hashes()]
    with db.reading() as reading:
        head = log.head(reading)
    assert head is not None
    assert told["root"] == text(head.root)


def test_sumdb_makes_our_consistency_proofs_and_takes_them_for_every_size(oracle: Path, published: Path) -> None:
    with db.reading() as reading:
        ours = [
            {"size": size, "root": text(log.root_at(reading, size)), "proof": [text(one) for one in proof]}
            for size in range(1, SIZE + 1)
            for proof in [log.consistency(reading, size, SIZE)]
        ]
    key = (published / "key").read_text().strip()
    told = ask(oracle, key, folder=str(published), consistency=ours)["consistency"]
    assert [each["refused"] for each in told] == [""] * SIZE
    assert [each["proof"] or [] for each in told] == [each["proof"] for each in ours]
    spoiled = [{**each, "root": text(merkle.EMPTY_ROOT)} for each in ours]
    told = ask(oracle, key, folder=str(published), consistency=spoiled)["consistency"]
    assert "" not in [each["refused"] for each in told]


def test_sumdb_takes_every_receipt_and_no_altered_one(oracle: Path, published: Path) -> None:
    key = (published / "key").read_text().strip()
    with db.reading() as reading:
        made = [receipts.make(reading, entry) for entry in reading.scalars(select(leaves.c.entry))]
    assert ask(oracle, key, receipts=made)["receipts"] == [""] * SIZE
    some = [str(each) for each in made[:3]]
    lines = some[0].split("\n")
    other = some[1].split("\n")[1]
    altered = [
        "\n".join([lines[0], other, *lines[2:]]),
        some[0].replace("index ", "index 1", 1),
        some[0].replace(f"\n{SIZE}\n", f"\n{SIZE - 1}\n"),
        "\n".join([*lines[:3], *lines[4:]]),
    ]
    assert "" not in ask(oracle, key, receipts=altered)["receipts"]
    stranger = str(notes.Verifier(ORIGIN, notes.ED25519, b"\x01" * 32))
    assert "" not in ask(oracle, stranger, receipts=some)["receipts"]


def test_sumdb_refuses_a_tile_that_was_altered(oracle: Path, published: Path) -> None:
    key, tile = (published / "key").read_text().strip(), published / "tile/0/001"
    content = tile.read_bytes()
    tile.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    assert "make the root" in ask(oracle, key, folder=str(published))["log"]
    tile.write_bytes(content)
    above = published / "tile/1/000.p/2"
    above.write_bytes(above.read_bytes()[::-1])
    assert "tile/8/1/000.p/2 differs" in ask(oracle, key, folder=str(published))["log"]
