# SPDX-License-Identifier: Apache-2.0
"""A bank keeps the body of an answer, its receipt and the bureau's public key; the bureau is gone, and it proves."""

import json
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import notes, receipts
from audit.notes import BadNote
from tests.conftest import House
from tests.journeys import service
from tests.journeys.cast import Cast, ask, token
from tests.journeys.service import Reply, clean_environment

KEPT = "answer.json", "receipt", "key"
BASE64 = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"


@pytest.fixture
def kept(open_house: House, cast: Cast, tmp_path: Path) -> Path:
    """The folder of the bank, from a bureau that served, sealed, and was switched off."""
    folder = tmp_path / "bank"
    folder.mkdir()
    with service.served(open_house.environment, tmp_path / "service.log") as served:
        bearer = token(served, cast.bank)
        answered = ask(served, bearer, cast.enterprise.uscc)
        for _ in range(3):
            ask(served, bearer, cast.enterprise.uscc)
        receipt: list[Reply] = []

        def is_sealed() -> bool:
            receipt[:] = [served.call("GET", answered.json["receipt"], Authorization=f"Bearer {bearer}")]
            return receipt[0].status == 200

        assert service.wait_until(is_sealed, 10), receipt
    for name, content in zip(KEPT, (answered.body, receipt[0].body, _key(open_house)), strict=True):
        (folder / name).write_bytes(content)
    return folder


def _key(house: House) -> bytes:
    return (house.own / "log" / "key").read_bytes()


def verify(folder: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    """`bureau verify` as a fresh process, in an empty folder, where no database could be reached."""
    nowhere = folder.parent / "nowhere"
    nowhere.mkdir(exist_ok=True)
    body, receipt, key = (str(folder / name) for name in KEPT)
    done = subprocess.run(
        [service.BUREAU, "verify", receipt, "--key", key, "--body", body, "--json", *arguments],
        cwd=nowhere,
        env=clean_environment() | {"BUREAU_DATABASE_URL": "postgresql://nobody@nowhere.invalid/nothing"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert list(nowhere.iterdir()) == [], "it left something behind"
    return done.returncode, json.loads(done.stdout)


def test_the_bank_proves_offline_what_it_was_told_and_a_changed_byte_is_named(kept: Path, cast: Cast) -> None:
    code, proved = verify(kept)
    assert (code, proved["ok"], proved["body"]) == (0, True, "matches")
    entry = proved["entry"]
    assert isinstance(entry, dict)
    assert (entry["type"], entry["uscc"], entry["purpose"]) == ("query.answered", cast.enterprise.uscc, "pre_loan")

    receipt = (kept / "receipt").read_text()
    lines = receipt.split("\n")
    changes = {
        "answer.json": (b'"uscc"', b'"usCc"', "the answer is not the one that the entry tells of"),
        "receipt": (lines[1].encode(), _flipped(lines[1]).encode(), "the entry is not on the log"),
        "key": (b"+", b"-", "holds no public key of a log"),
    }
    for name, (before, after, told) in changes.items():
        whole = (kept / name).read_bytes()
        (kept / name).write_bytes(whole.replace(before, after, 1))
        code, found = verify(kept)
        assert told in str(found.get("fault") or found.get("detail")), (name, found)
        assert code == (2 if name == "key" else 1)
        (kept / name).write_bytes(whole)

    stranger = str(notes.Verifier(receipt.split("\n\n")[1].split("\n")[0], notes.ED25519, b"\x01" * 32))
    (kept / "key").write_text(stranger)
    assert verify(kept) == (1, {"ok": False, "fault": "none of the keys given signed this note"})


def test_no_byte_of_a_receipt_or_an_answer_changes_unnoticed(kept: Path) -> None:
    body, receipt, key = ((kept / name).read_bytes() for name in KEPT)
    known = [notes.parse_key(key.decode())]
    assert receipts.check(receipt.decode(), known, body)

    @settings(max_examples=400)
    @given(st.sampled_from([True, False]), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
    def check(in_body: bool, share: float, flip: int) -> None:
        spoiled = bytearray(body if in_body else receipt)
        spoiled[int(share * len(spoiled))] ^= flip
        shown, answer = (receipt, bytes(spoiled)) if in_body else (bytes(spoiled), body)
        with pytest.raises(BadNote):
            receipts.check(shown.decode("utf-8", "replace"), known, answer)

    check()
    # Base64 that says the same in another spelling is a changed byte too.
    for line in receipt.decode().split("\n")[1:]:
        if line.endswith("=") and not line.startswith("—"):
            at = len(line.rstrip("=")) - 1
            respelled = line[:at] + BASE64[BASE64.index(line[at]) ^ 1] + line[at + 1 :]
            with pytest.raises(BadNote):
                receipts.check(receipt.decode().replace(line, respelled), known, body)


def _flipped(line: str) -> str:
    """The line of base64 with a character in its middle changed."""
    middle = len(line) // 2
    return line[:middle] + ("A" if line[middle] != "A" else "B") + line[middle + 1 :]
