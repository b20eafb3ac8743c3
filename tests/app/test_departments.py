# SPDX-License-Identifier: Apache-2.0
"""The demo city's departments: all 83 datasets as files in their own words, taken in as anybody's deliveries are."""

import gzip
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app import departments
from app.city import WHOLE, Firm, batches, firms
from app.city.deliveries import Delivery, deliveries
from app.city.files import File, write, write_one
from app.city.months import MONTHS, month_number
from app.city.names import ANCHOR
from app.city.wording import wording
from app.cli import main
from bureau import intake
from bureau.catalogue import current
from bureau.records import Row
from connectors import feeds, trial
from kernel.errors import SettingError
from tests.conftest import House, made
from tests.factories import consent

FEEDS = {file.stem: feeds.load(file) for file in sorted(feeds.DEMO.glob("*.toml"))}
MONTHS_TOLD = 2
LAST = MONTHS[month_number(ANCHOR)]


@pytest.fixture(scope="module")
def telling() -> list[Firm]:
    """Few firms that between them have something to tell to each feed."""
    chosen: dict[str, Firm] = {}
    told: set[tuple[str, str]] = set()
    population = {firm.uscc: firm for firm in firms(1000)}
    for delivery in deliveries(list(population.values()), months=1, supplies=WHOLE):
        place = delivery.supply.dataset, delivery.supply.source
        row = next((row for row in delivery.rows), None)
        if row is not None and place not in told:
            told.add(place)
            chosen[row.uscc] = population[row.uscc]
    assert len(told) == len(FEEDS)
    return list(chosen.values())


@pytest.fixture(scope="module")
def delivered(telling: list[Firm], tmp_path_factory: pytest.TempPathFactory) -> list[File]:
    return list(write(telling, tmp_path_factory.mktemp("deliveries"), MONTHS_TOLD))


@pytest.fixture
def laid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "feeds"
    departments.lay(folder)
    monkeypatch.setattr(feeds, "_folder", folder)
    return folder


def largest(delivered: list[File], feed: str) -> Path:
    return max((file.path for file in delivered if file.feed == feed), key=lambda path: path.stat().st_size)


def test_all_83_datasets_have_a_feed_and_each_feed_a_column_for_all_of_its_items() -> None:
    assert {feed.dataset for feed in FEEDS.values()} == set(current().datasets)
    assert {(feed.dataset, feed.source) for feed in FEEDS.values()} == {(each.dataset, each.source) for each in WHOLE}
    for feed in FEEDS.values():
        assert wording(feed).items == {item.code for item in current().datasets[feed.dataset].items}, feed.feed


def test_departments_deliver_in_all_formats_encodings_packings_units_and_with_codes_of_their_own(
    delivered: list[File],
) -> None:
    told = {(feed.layout.format, feed.layout.encoding) for feed in FEEDS.values()}
    assert {format_ for format_, _ in told} == {"csv", "tsv", "xlsx", "jsonl", "parquet"}
    assert {("csv", "gb18030"), ("csv", "utf-8"), ("tsv", "gb18030"), ("tsv", "utf-8")} <= told
    assert {file.path.suffix for file in delivered} == {".csv", ".tsv", ".xlsx", ".jsonl", ".parquet", ".gz", ".zip"}
    columns = [column for feed in FEEDS.values() for column in feed.translation.columns]
    assert {column.unit for column in columns if column.type == "money"} == {"元", "万元", "美元"}
    assert sum(column.codes is not None for column in columns) > 60


def test_a_feed_names_the_contract_that_its_source_has_in_the_demo() -> None:
    numbers = {code: number for number, code in enumerate(current().sources, 1)}
    for feed in FEEDS.values():
        assert feed.contract == (f"演示协议2026-{numbers[feed.source]:03d}" if feed.source in numbers else None)
        assert "演示" in feed.title


def test_the_feeds_of_the_demo_are_nobody_elses_until_they_are_laid_down(laid: Path) -> None:
    assert len(list(laid.glob("*.toml"))) == len(FEEDS)
    assert set(FEEDS) <= set(feeds.names())
    feeds.use(laid.parent / "another")
    assert not set(FEEDS) & set(feeds.names())


def test_a_feed_that_the_operator_has_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo-electricity.toml").write_text("mine")
    departments.lay(tmp_path)
    assert (tmp_path / "demo-electricity.toml").read_text() == "mine"


@pytest.mark.parametrize("feed", FEEDS)
def test_a_check_of_a_sample_shows_what_each_feed_makes_of_it(feed: str, delivered: list[File]) -> None:
    found = trial.check(FEEDS[feed], largest(delivered, feed))
    assert found["accepted"] == found["rows"] > 0
    assert (found["reasons"], found["warnings"]) == ({}, {})
    assert found["event_date"]["filled"] == found["rows"]
    for code, item in found["items"].items():
        known = {column.item: column.name for column in FEEDS[feed].translation.columns}
        assert item["column"] == known.get(code)
        assert item["column"] or item["filled"] == found["rows"]  # a default, or the currency of an amount


def test_a_check_by_command_names_the_column_that_each_item_comes_from(delivered: list[File]) -> None:
    sample = largest(delivered, "demo-tax-payments")
    command = ["feed", "check", str(feeds.DEMO / "demo-tax-payments.toml"), "--sample", str(sample)]
    told = CliRunner().invoke(main, command).stdout
    assert "0 rejected" in told
    assert re.search(r"C2\.05\.03 应税销售收入 \(from 应税销售收入\(元\)\): \d+ filled, such as \d+", told)


def test_what_files_and_feeds_bring_is_row_by_row_what_the_city_states(
    telling: list[Firm], delivered: list[File]
) -> None:
    stated = deliveries(telling, months=MONTHS_TOLD, supplies=WHOLE)
    for file, delivery in zip(delivered, stated, strict=True):
        brought = feeds.pull(FEEDS[file.feed], file.path).rows
        for row, told in zip(brought, delivery.rows, strict=True):
            assert isinstance(row, Row)
            assert (row.number, row.uscc, row.dataset, row.event_date) == told[:4]
            assert row.items == told.items
            assert row.warnings == ()


def test_the_intake_finds_in_files_the_very_records_that_it_was_given_directly(
    house: House, telling: list[Firm], delivered: list[File]
) -> None:
    for firm in telling:
        consent(firm.uscc, scope="collect")
    stated = [intake.receive(batch) for batch in batches(telling, months=MONTHS_TOLD, supplies=WHOLE)]
    for file, told in zip(delivered, stated, strict=True):
        receipt = intake.receive(feeds.pull(FEEDS[file.feed], file.path))
        assert (receipt.rows, receipt.accepted, receipt.rejected) == (told.rows, told.rows, 0), file
        assert receipt.repeated == receipt.rows, file  # the marks of its rows were there already
        assert receipt.warnings == {}


def test_a_fault_in_one_file_rejects_its_rows_in_that_feed_and_no_others(
    house: House, telling: list[Firm], delivered: list[File], tmp_path: Path
) -> None:
    for firm in telling:
        consent(firm.uscc, scope="collect")
    sound = largest(delivered, "demo-electricity")
    lines = gzip.decompress(sound.read_bytes()).decode("gb18030").splitlines(keepends=True)
    broken = tmp_path / "broken.csv"
    bad_code = lines[1].replace(lines[1][:18], "91320599MA00000000")
    no_account = lines[2].replace(lines[2].split(",")[1], "", 1)
    odd_word = lines[3].replace(",02,", ",99,").replace(",01,", ",99,")
    broken.write_text("".join([lines[0], bad_code, no_account, odd_word, "too,few\r\n", *lines[4:]]), "gb18030")
    receipt = intake.receive(feeds.pull(FEEDS["demo-electricity"], broken))
    assert receipt.reasons == {"invalid-uscc": 1, "malformed-row": 1, "missing-C2.01.01": 1}
    assert receipt.warnings == {"C2.01.02 unreadable-code": 1}
    assert receipt.accepted == receipt.rows - 3
    for feed in ("demo-water-s51", "demo-tax-payments", "demo-loans-s66"):
        assert intake.receive(feeds.pull(FEEDS[feed], largest(delivered, feed))).rejected == 0


def test_the_same_city_gives_the_same_bytes_and_thus_the_same_deliveries(
    telling: list[Firm], delivered: list[File], tmp_path: Path
) -> None:
    again = write(telling, tmp_path, MONTHS_TOLD)
    for first, second in zip(delivered, again, strict=True):
        assert sha256(first.path.read_bytes()).digest() == sha256(second.path.read_bytes()).digest(), first.path.name


def delivery(dataset: str, source: str, row: Row) -> Delivery:
    supply = next(each for each in WHOLE if (each.dataset, each.source) == (dataset, source))
    return Delivery(supply, LAST, iter([row]))


def lent(**changes: Any) -> Row:
    """A row as demo-loan-insurance tells it, but for these items."""
    items = {"C3.11.01": "演示财产保险公司", "C3.11.02": 12_345_678, "C3.11.03": "1.2", "C3.11.04": False}
    items |= {"C3.11.05": None} | {f"C3.11.{name[1:]}": value for name, value in changes.items()}
    return Row(1, "91320599MA1XY8014D", "C3.11", "2026-08-01", items)


def test_an_amount_in_ten_thousands_is_told_to_the_cent(tmp_path: Path) -> None:
    feed = FEEDS["demo-loan-insurance"]
    file = write_one(feed, wording(feed), delivery("C3.11", "S72", lent()), tmp_path)
    assert json.loads(file.read_text())["sumInsured"] == "12.345678"
    (row,) = feeds.pull(feed, file).rows
    assert isinstance(row, Row)
    assert row.items == lent().items


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (lent(_01="another insurer"), "C3.11.01 is always '演示财产保险公司'"),
        (lent(_02=-1), "C3.11.02 is not signed"),
        (lent(_06=1), "no column for C3.11.06"),
    ],
)
def test_what_a_feed_cannot_tell_is_not_written(row: Row, told: str, tmp_path: Path) -> None:
    feed = FEEDS["demo-loan-insurance"]
    with pytest.raises(SettingError, match=re.escape(told)):
        write_one(feed, wording(feed), delivery("C3.11", "S72", row), tmp_path)


def test_a_word_that_the_departments_codes_lack_is_not_written(tmp_path: Path) -> None:
    feed = FEEDS["demo-tax-payments"]
    items = dict.fromkeys(wording(feed).items) | {"C2.05.01": "2026-08", "C2.05.02": "什一税"}
    row = Row(1, "91320599MA1XY8014D", "C2.05", "2026-08-01", items)
    with pytest.raises(SettingError, match="no code stands for '什一税'"):
        write_one(feed, wording(feed), delivery("C2.05", "S04", row), tmp_path)


@pytest.mark.parametrize("house", ["sqlite"], indirect=True)  # it comes to no database
def test_the_citys_program_that_cannot_write_ends_the_delivery_with_its_reason(house: House, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="could not be written: FileNotFoundError"):
        departments.deliver(1, tmp_path / "absent", tmp_path)


@pytest.mark.parametrize("house", ["sqlite"], indirect=True)  # the engines are told apart above
def test_files_are_taken_in_as_they_are_written_and_kept_where_that_is_asked(house: House, laid: Path) -> None:
    kept, heard = made(laid.parent / "kept"), list[int]()
    (firm,) = firms(1)
    consent(firm.uscc, scope="collect")
    departments.deliver(1, kept, laid.parent, heard.append)
    rows = sum(len(list(each.rows)) for each in deliveries([firm], supplies=WHOLE))
    assert heard[-1] == rows
    assert len(list(kept.iterdir())) == len(heard)


def test_every_row_says_something_of_each_item_of_its_dataset_and_all_but_two_are_filled(
    city_rows: list[Row],
) -> None:
    filled: set[str] = set()
    for row in city_rows:
        assert row.items.keys() == {item.code for item in current().datasets[row.dataset].items}
        filled |= {code for code, value in row.items.items() if value is not None}
    assert set(current().items) - filled <= {"C1.05.01", "C1.05.02"}  # a firm that is gone is in no city


@pytest.fixture(scope="module")
def city_rows() -> list[Row]:
    return [row for each in deliveries(list(firms(1000)), supplies=WHOLE) for row in each.rows]
