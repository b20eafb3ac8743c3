# SPDX-License-Identifier: Apache-2.0
"""The real register of one city through four doors, and registers of cities that no one looked at while building.

Brought as a file, dropped over SFTP, fetched over HTTPS, pushed as NDJSON: the same records and the same rejects.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from bureau import holdings, intake, rejects, vault
from bureau.open_batches import Receipt
from connectors import feeds, pulling, spool
from kernel import db, uscc
from tests.conftest import House, made
from tests.connectors import servers
from tests.connectors.test_pulling import REGISTER, reveal
from tests.connectors.test_pushes import bearer, push

DATA = Path(os.environ.get("BUREAU_TEST_DATA", "absent")) / "data"
SUZHOU, COUNTRY = DATA / "register-suzhou.csv.gz", DATA / "register-390k.csv.gz"
pytestmark = pytest.mark.skipif(not SUZHOU.exists(), reason="BUREAU_TEST_DATA holds no real register")
CODE = "统一社会信用代码"
# What one delivery is compared by: what it says of its rows, its rejected rows, its number of records, their digest.
Held = tuple[dict[str, Any], list[tuple[int, str, dict[str, str]]], int, str]


@pytest.fixture
def own_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(spool, "_folder", None)
    folder = made(tmp_path / "feeds")
    monkeypatch.setattr(feeds, "_folder", folder)
    return folder


def write(folder: Path, name: str, transport: str = "") -> feeds.Feed:
    toml = REGISTER.replace('feed = "market-regulation-register"', f'feed = "{name}"')
    (folder / f"{name}.toml").write_text(toml + (f"\n[transport]\n{transport}\n" if transport else ""))
    return feeds.load(name)


@pytest.mark.parametrize("house", ["sqlite"], indirect=True)  # both engines are told apart elsewhere
def test_the_real_register_is_the_same_through_four_doors(
    house: House, client: FlaskClient, own_feeds: Path, tmp_path: Path
) -> None:
    receipts = {"file": intake.receive(feeds.pull(write(own_feeds, "by-file"), SUZHOU))}
    with servers.sshd(made(tmp_path / "sshd")) as drop:
        shutil.copy(SUZHOU, drop.folder / "register.csv.gz")
        told = (
            f'kind = "sftp"\nhost = "127.0.0.1"\nport = {drop.port}\nuser = "{drop.user}"\nfiles = 1\nsettled_s = 0\n'
        )
        told += f'private_key = "file:{drop.key}"\nhost_key = "{drop.host_key}"\n'
        told += f'folder = "{drop.folder}"\npattern = "*.csv.gz"'
        (receipts["sftp"],) = pulling.pull_now(write(own_feeds, "by-sftp", told), reveal)
    with servers.origin(made(tmp_path / "origin")) as origin:
        shutil.copy(SUZHOU, origin.folder / "file")
        told = f'kind = "https"\nurl = "{origin.url}/file"\nca = "{origin.ca}"\ntoken_url = "{origin.url}/token"\n'
        told += 'client_id = "client"\nclient_secret = "env:SECRET"'
        (receipts["https"],) = pulling.pull_now(write(own_feeds, "by-https", told), reveal)
    write(own_feeds, "by-push")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows_of(SUZHOU))
    mine = bearer("S01")
    taken = push(client, gzip.compress(lines.encode()), "by-push", **mine, Content_Encoding="gzip")
    shown = client.get(taken.headers["Location"], headers=mine).json
    receipts["push"] = Receipt(**{name: shown[name] for name in Receipt.__dataclass_fields__ if name in shown})

    held = held_by_batch(list(receipts.values()))
    by_file = held[receipts["file"].batch]
    assert by_file[0]["rows"] == 22_454
    assert by_file[0]["reasons"] == {"invalid-uscc": 690}
    assert (len(by_file[1]), by_file[2]) == (690, 22_454 - 690)
    for door, receipt in receipts.items():
        assert held[receipt.batch] == by_file, door


@pytest.mark.parametrize("places", [("浙江", "绍兴"), ("上海", "自贸区"), ("江苏", "宿迁")], ids="".join)
def test_the_register_of_a_city_that_was_never_seen_is_taken_with_no_change(
    house: House, own_feeds: Path, tmp_path: Path, places: tuple[str, str]
) -> None:
    """Its columns are those of the feed; the one that the country's register lacks (经营范围) comes empty."""
    delivered = [row for row in rows_of(COUNTRY) if (row["所在省份"], row["地区"]) == places]
    assert len(delivered) > 100, "no such city"
    file = tmp_path / "register.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*delivered[0], "经营范围"], restval="")
        writer.writeheader()
        writer.writerows(delivered)
    receipt = intake.receive(feeds.pull(feeds.load("market-regulation-register"), file))
    codes = Counter(row[CODE].strip() for row in delivered)
    valid = {code: count for code, count in codes.items() if uscc.is_valid(code) and not code.startswith("92")}
    assert (receipt.rows, receipt.accepted) == (len(delivered), sum(valid.values()))
    assert receipt.accepted + receipt.rejected == receipt.rows
    ((_, rejected, records, _),) = held_by_batch([receipt]).values()
    assert (len(rejected), records) == (receipt.rejected, receipt.accepted)


def rows_of(file: Path) -> Iterator[dict[str, str]]:
    with gzip.open(file, "rb") as packed:
        yield from csv.DictReader(io.TextIOWrapper(packed, "utf-8-sig", newline=""))


def held_by_batch(receipts: list[Receipt]) -> dict[str, Held]:
    """By batch, what is held: ids without the batch, and records without the moment at which they came."""
    found: dict[str, list[bytes]] = {receipt.batch: [] for receipt in receipts}
    with db.reading() as reading:
        for rows, opened in holdings._enterprises(reading):
            for row in rows:
                for entry in (entry for region in vault.open_row(opened, row) for entry in region.entries()):
                    record = orjson.loads(entry.body)
                    batch, _, within = record.pop("id").partition(".")
                    del record["received_at"]
                    told = orjson.dumps([row.uscc, within, record], option=orjson.OPT_SORT_KEYS)
                    found[batch].append(hashlib.sha256(told).digest())
        kept = {batch: [(*told,) for told in rejects.kept(reading, int(batch))] for batch in found}
    return {
        receipt.batch: (
            {"rows": receipt.rows, "reasons": receipt.reasons, "warnings": receipt.warnings},
            kept[receipt.batch],
            len(found[receipt.batch]),
            hashlib.sha256(b"".join(sorted(found[receipt.batch]))).hexdigest(),
        )
        for receipt in receipts
    }
