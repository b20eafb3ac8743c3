# SPDX-License-Identifier: Apache-2.0
"""A feed is one TOML file, checked whole; adding a department tomorrow is such a file and such a test."""

import gzip
import hashlib
from pathlib import Path

import pytest

from bureau.records import Row, Unreadable
from connectors import feeds
from kernel.errors import BureauError, Conflict, Invalid, NotFound, NotPermitted, SettingError, TooLarge

REGISTER = "market-regulation-register"
REGISTER_HEADER = "企业名称,统一社会信用代码,注册日期,企业类型,注册资金,经营范围,所在省份,地区\n"

TAX_PAYMENTS = """
feed = "tax-payments"
title = "纳税申报缴纳"
source = "S04"
dataset = "C2.05"
basis = "department"
format = "csv"
encoding = "utf-8"
nulls = ["-", "NULL"]
ignored = ["序号"]
event_date = "所属期起"

[limits]
packed_bytes = 1_000_000
unpacked_bytes = 10_000_000
ratio = 50
rows = 100_000
row_bytes = 10_000
cell_characters = 1_000

[uscc]
column = "纳税人识别号"
strict = false
refuse = { "92" = "sole-trader", "1" = "public-body" }

[columns]
"所属期止" = { item = "C2.05.01", required = true }
"应税销售额" = { item = "C2.05.03", unit = "元" }
"应纳税所得额" = { item = "C2.05.11", unit = "万元", signed = true }
"入库日期" = { item = "C2.05.06" }

[defaults]
"C2.05.02" = "增值税"
"""


def load(folder: Path, toml: str = TAX_PAYMENTS, name: str = "tax-payments") -> feeds.Feed:
    file = folder / f"{name}.toml"
    file.write_text(toml, encoding="utf-8")
    return feeds.load(file)


def deliver(folder: Path, content: str | bytes) -> Path:
    file = folder / "delivery.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_a_department_of_tomorrow_is_one_file(tmp_path: Path) -> None:
    feed = load(tmp_path)
    delivery = deliver(
        tmp_path,
        "序号,纳税人识别号,所属期起,所属期止,应税销售额,应纳税所得额,入库日期\n"
        '1,91320500MA1XY8014D,2026-01-01,2026-03,"1,200,000.50",-3.5,2026/4/15\n'
        "2,91320500MA1XY8014D,202604,2026-06,NULL,3.5亿元,-\n"
        "3,91320500MA1XY8014D,2026-07-01,,1,2,2026-10-15\n"
        "4,91320500MA1XY8014D\n",
    )
    batch = feeds.pull(feed, delivery)
    assert (batch.feed, batch.source, batch.basis, batch.lenient_uscc) == (
        "tax-payments",
        "S04",
        "department",
        True,
    )
    assert batch.refused_prefixes == {"92": "sole-trader", "1": "public-body"}

    first, second, third, fourth = batch.rows
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.number, first.dataset, first.uscc) == (1, "C2.05", "91320500MA1XY8014D")
    assert first.event_date == "2026-01-01"
    assert first.items == {
        "C2.05.01": "2026-03",
        "C2.05.02": "增值税",
        "C2.05.03": 120_000_050,
        "C2.05.06": "2026-04-15",
        "C2.05.11": -3_500_000,
    }
    assert first.raw == {"C2.05.03": "1,200,000.50", "C2.05.06": "2026/4/15", "C2.05.11": "-3.5"}
    assert second.event_date == "2026-04-01"
    assert (second.items["C2.05.03"], second.items["C2.05.11"]) == (None, 35_000_000_000)
    assert second.raw == {"C2.05.03": "NULL", "C2.05.06": "-", "C2.05.11": "3.5亿元"}
    assert isinstance(third, Unreadable)
    assert (third.number, third.reason) == (3, "missing-C2.05.01")
    assert fourth == Unreadable(4, "malformed-row", {"row": "4,91320500MA1XY8014D"})


def test_the_source_s_words_become_ours_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    toml = TAX_PAYMENTS.partition("[defaults]")[0] + '"税种" = { item = "C2.05.02", codes = "kinds" }\n'
    toml += '[codes.kinds]\n"01" = "增值税"\n"02" = "消费税"\n'
    file = "纳税人识别号,所属期起,所属期止,应税销售额,应纳税所得额,入库日期,税种\n"
    file += "91320500MA1XY8014D,2026-01-01,2026-03,,,,01\n91320500MA1XY8014D,2026-01-01,2026-03,,,,99\n"
    first, second = feeds.pull(load(tmp_path, toml), deliver(tmp_path, file)).rows
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.items["C2.05.02"], first.raw["C2.05.02"]) == ("增值税", "01")
    assert (second.items["C2.05.02"], second.raw["C2.05.02"]) == (None, "99")
    assert second.warnings == ("C2.05.02 unreadable-code",)


def test_after_the_last_day_of_its_contract_a_feed_takes_nothing(tmp_path: Path) -> None:
    toml = TAX_PAYMENTS.replace("[limits]", '[contract]\nreference = "演示协议"\nuntil = 2020-12-31\n[limits]')
    with pytest.raises(NotPermitted, match="its contract ended on 2020-12-31"):
        feeds.pull(load(tmp_path, toml), deliver(tmp_path, "x"))


def test_the_operator_s_feeds_are_found_by_name_and_come_before_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_folder", None)
    load(tmp_path)
    shipped = (feeds.SHIPPED / f"{REGISTER}.toml").read_text(encoding="utf-8")
    load(tmp_path, shipped.replace("市场主体登记信息", "我们的登记"), REGISTER)
    feeds.use(tmp_path)
    assert {REGISTER, "tax-payments"} <= set(feeds.names())
    assert (feeds.load("tax-payments").source, feeds.load(REGISTER).title) == ("S04", "我们的登记")


def test_a_feed_with_a_column_of_division_codes_maps_that_one(tmp_path: Path) -> None:
    shipped = (feeds.SHIPPED / f"{REGISTER}.toml").read_text(encoding="utf-8")
    toml = shipped.partition("[division]")[0].replace(f'feed = "{REGISTER}"', 'feed = "city-register"')
    toml += '"行政区划" = { item = "C1.01.17" }\n'
    feed = load(tmp_path, toml, "city-register")
    header = "企业名称,统一社会信用代码,注册日期,企业类型,注册资金,经营范围,行政区划\n"
    (row,) = feeds.pull(feed, deliver(tmp_path, f"{header}演示公司,91320500MA1XY8014D,,,,,320583\n")).rows
    assert isinstance(row, Row)
    assert row.items["C1.01.17"] == "320583"
    assert row.raw == {}


def test_every_shipped_feed_loads_and_the_register_is_strict_and_public() -> None:
    for name in feeds.names():
        assert feeds.load(name).feed == name
    register = feeds.load(REGISTER)
    assert (register.source, register.dataset, register.basis) == ("S01", "C1.01", "public")
    assert register.lenient_uscc is False
    assert register.refused_prefixes == {"92": "sole-trader"}


def test_the_digest_is_that_of_the_bytes_as_delivered(tmp_path: Path) -> None:
    register = feeds.load(REGISTER)
    plain = f"{REGISTER_HEADER}演示公司,91320500MA1XY8014D,,,,,,\n".encode()
    for content in (plain, gzip.compress(plain)):
        assert feeds.pull(register, deliver(tmp_path, content)).digest == hashlib.sha256(content).hexdigest()


def test_a_file_that_cannot_be_trusted_gives_no_batch_at_all(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"delivery\.csv, header: no column 统一社会信用代码"):
        feeds.pull(feeds.load(REGISTER), deliver(tmp_path, "no register at all\n"))
    lost = f"{REGISTER_HEADER}演示公司,91320500MA1XY8014D,,,,,,\n".encode() + b"\xff\n"
    with pytest.raises(Invalid, match=r"delivery\.csv, row 2: not utf-8"):
        feeds.pull(feeds.load(REGISTER), deliver(tmp_path, lost))


def test_a_file_that_is_altered_while_it_is_read_is_a_conflict(tmp_path: Path) -> None:
    file = deliver(tmp_path, f"{REGISTER_HEADER}演示公司,91320500MA1XY8014D,,,,,,\n")
    rows = iter(feeds.pull(feeds.load(REGISTER), file).rows)
    assert isinstance(next(rows), Row)
    deliver(tmp_path, f"{REGISTER_HEADER}另一公司,91320500MA1XY8014D,,,,,,\n")
    with pytest.raises(Conflict, match=r"delivery\.csv: was altered"):
        list(rows)


def test_a_file_above_the_limit_is_not_even_digested(tmp_path: Path) -> None:
    feed = load(
        tmp_path,
        TAX_PAYMENTS.replace("packed_bytes = 1_000_000", "packed_bytes = 10", 1),
    )
    with pytest.raises(TooLarge, match=r"delivery\.csv: 11 bytes, above the feed's 10"):
        feeds.pull(feed, deliver(tmp_path, "12345678901"))


@pytest.mark.parametrize("name", ["unheard-of", "../feeds/market-regulation-register", "absent.toml", ""])
def test_a_feed_that_does_not_exist_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        feeds.load(name)


def test_an_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(NotFound, match=REGISTER):
        feeds.load("unheard-of")


FAULTS = [
    ('feed = "tax-payments"', 'feed = "taxes"', "feed: expected the file's name"),
    ('feed = "tax-payments"', "", "feed: is missing"),
    ('title = "纳税申报缴纳"', "title = 7", "title: expected a text, found 7"),
    ('source = "S04"', 'source = "S99"', "source: 'S99' is not among S01, S02"),
    ('source = "S04"', 'source = "S05"', "source: C2.05 is supplied by S04"),
    ('dataset = "C2.05"', 'dataset = "C9.99"', "dataset: 'C9.99' is not among"),
    ('basis = "department"', 'basis = "because"', "basis: 'because' is not among"),
    ('format = "csv"', 'format = "xls"', "format: 'xls' is not among csv, jsonl, parquet, tsv, xlsx"),
    ('encoding = "utf-8"', 'encoding = "latin-1"', "encoding: 'latin-1' is not among gb18030, utf-8"),
    ('nulls = ["-", "NULL"]', 'nulls = "-"', "nulls: expected a list, found '-'"),
    ('nulls = ["-", "NULL"]', "nulls = [1]", "nulls: expected a list of texts"),
    ('ignored = ["序号"]', 'ignored = ["所属期止"]', "columns: '所属期止' is empty, has blanks"),
    ('ignored = ["序号"]', 'ignored = [" 序号"]', "columns: ' 序号' is empty, has blanks"),
    ('event_date = "所属期起"', "", "columns: nothing fills event_date, which is in the key of C2.05"),
    ("rows = 100_000", "", "limits.rows: is missing"),
    ("rows = 100_000", "rows = 0", "limits.rows: expected a positive whole number"),
    ("rows = 100_000", "rows = true", "limits.rows: expected a whole number, found True"),
    ("rows = 100_000", "rows = 1\nlines = 5", "limits.lines: there is no such key"),
    (
        "cell_characters = 1_000",
        "cell_characters = 131_073",
        "limits.cell_characters: expected at most 131072",
    ),
    ("strict = false", 'strict = "no"', "uscc.strict: expected true or false, found 'no'"),
    ("strict = false", "strict = false\nfold = true", "uscc.fold: there is no such key"),
    ('column = "纳税人识别号"', "", "uscc.column: is missing"),
    ('"92" = "sole-trader"', '"9O" = "sole-trader"', "uscc.refuse: expected beginnings of codes"),
    ('"92" = "sole-trader"', '"92" = "Sole Trader"', "uscc.refuse: expected beginnings of codes"),
    ('"92" = "sole-trader"', '"92" = 1', "uscc.refuse: expected beginnings of codes"),
    ('{ item = "C2.05.06" }', '"C2.05.06"', "columns.入库日期.item: expected a table"),
    ('{ item = "C2.05.06" }', "{}", "columns.入库日期.item: is missing"),
    ('{ item = "C2.05.06" }', '{ item = "C2.05.99" }', "columns.入库日期.item: 'C2.05.99' is not among"),
    (
        '{ item = "C2.05.06" }',
        '{ item = "C1.01.10" }',
        "columns.入库日期.item: 'C1.01.10' is not among C2.05.01",
    ),
    (
        '{ item = "C2.05.06" }',
        '{ item = "C2.05.06", unit = "元" }',
        "columns.入库日期.unit: there is no such key",
    ),
    ('{ item = "C2.05.06" }', '{ item = "C2.05.01" }', "C2.05.01: filled twice"),
    ('unit = "元"', 'unit = "吨"', "columns.应税销售额.unit: expected such as `元`"),
    ('"C2.05.02" = "增值税"', '"C2.05.06" = "2026-01-01"', "C2.05.06: filled twice"),
    ('"C2.05.02" = "增值税"', '"C2.05.99" = "1"', "defaults.C2.05.99: expected an item of the dataset"),
    ('"C2.05.02" = "增值税"', '"C2.05.02" = 1', "defaults.C2.05.02: expected an item of the dataset"),
    (
        '"C2.05.02" = "增值税"',
        '"C2.05.04" = "1元"',
        "defaults.C2.05.04: expected an item of the dataset, not of money",
    ),
    ('"C2.05.02" = "增值税"', "", "columns: nothing fills C2.05.02, which is in the key"),
    ("[defaults]", "[unheard]", "columns: nothing fills C2.05.02"),
    ("[defaults]", '[division]\nraw = ["甲"]\n[defaults]', "division.item: is missing"),
    ("[defaults]", '[division]\nitem = "C2.05.02"\n[defaults]', "C2.05.02: filled twice"),
    ("[defaults]", '[planned]\nat = "02:00"\n[defaults]', "planned: there is no such key"),
    ("[defaults]", '[schedule]\nat = "02:00"\n[defaults]', "schedule: expected a text"),
    ("[limits]", 'schedule = "daily 02:30"\n[limits]', "schedule: there is no [transport] to pull by"),
    ("[limits]", 'schedule = "daily 25:00"\n[limits]', "schedule: expected such as `daily 02:30`"),
    ("[limits]", 'schedule = "weekly moo 02:30"\n[limits]', "schedule: expected such as"),
    ("[limits]", 'schedule = "now and then"\n[limits]', "schedule: expected such as"),
    ("[limits]", '[expected]\nrhythm = "daily"\n[limits]', "expected.grace_days: is missing"),
    ("[limits]", '[expected]\nrhythm = "often"\ngrace_days = 1\n[limits]', "expected.rhythm: 'often' is not"),
    ("[limits]", "[contract]\nuntil = 2027-12-31\n[limits]", "contract.reference: is missing"),
    ("[limits]", '[contract]\nreference = "x"\nuntil = "soon"\n[limits]', "contract.until: expected a day"),
    ("[limits]", '[transport]\nkind = "pigeon"\n[limits]', "transport.kind: 'pigeon' is not among"),
    ("[limits]", '[transport]\nkind = "https"\nurl = "http://x"\n[limits]', "transport.url: expected https://"),
    ("[limits]", '[transport]\nkind = "https"\nurl = "https://u:p@x"\n[limits]', "transport.url: expected https://"),
    ("[limits]", '[transport]\nkind = "sftp"\n[limits]', "transport.host_key: is missing"),
    ("[limits]", '[transport]\nkind = "sftp"\nhost_key = "ssh-ed25519"\n[limits]', "transport.host_key: expected the"),
    (
        "[limits]",
        '[transport]\nkind = "database"\nurl = "postgresql://u:p@h/d"\n[limits]',
        "transport.url: expected env:NAME or file:/path; a secret itself never stands here",
    ),
    (
        "[limits]",
        '[transport]\nkind = "database"\nurl = "env:X"\ntable = "a;b"\n[limits]',
        "transport.table: expected a name",
    ),
    ('"C2.05.06" }', '"C2.05.06", codes = "x" }', "columns.入库日期.codes: 'x' is not among"),
    ("[defaults]", "[codes]\nx = 1\n[defaults]", "codes.x: expected a table"),
    ("[defaults]", "[defaults", "is not TOML"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), FAULTS)
def test_a_fault_in_a_feed_stops_it_with_file_and_key(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert right in TAX_PAYMENTS
    with pytest.raises(SettingError) as raised:
        load(tmp_path, TAX_PAYMENTS.replace(right, wrong, 1))
    assert raised.value.detail.startswith(f"tax-payments.toml: {message}")


OTHER_FAULTS = [
    (
        "C1.01",
        "S01",
        "public",
        '"开业" = { item = "C1.01.10" }',
        'event_date = "日"',
        "event_date: leave it out",
    ),
    ("C3.02", "S66", "department", "", "", "basis: lenders' data hang on consent"),
    (
        "C1.01",
        "S01",
        "public",
        '"资本" = { item = "C1.01.07" }\n"币种" = { item = "C1.01.08" }',
        "",
        "C1.01.08: filled twice (an amount itself fills its currency's item)",
    ),
    ("C2.01", "S50", "department", '"户号" = { item = "C2.01.01" }', "", "columns: nothing fills event_date"),
    (
        "C1.01",
        "S01",
        "public",
        '[defaults]\n"C1.01.10" = "someday"',
        "",
        "defaults.C1.01.10: 'someday' is no date",
    ),
    ("C1.01", "S01", "public", '[division]\nitem = "C1.01.10"', "", "division.item: 'C1.01.10' is not among"),
]


@pytest.mark.parametrize(("dataset", "source", "basis", "columns", "more", "message"), OTHER_FAULTS)
def test_a_feed_must_fit_its_dataset(
    tmp_path: Path, dataset: str, source: str, basis: str, columns: str, more: str, message: str
) -> None:
    head, _, rest = TAX_PAYMENTS.partition("[limits]")
    middle = rest.partition("[columns]")[0]
    head = head.replace("C2.05", dataset).replace("S04", source).replace('"department"', f'"{basis}"')
    head = head.replace('event_date = "所属期起"', more)
    with pytest.raises(SettingError) as raised:
        load(tmp_path, f"{head}[limits]{middle}[columns]\n{columns}\n")
    assert raised.value.detail.startswith(f"tax-payments.toml: {message}")


def test_what_lenders_supply_may_be_taken_on_consent(tmp_path: Path) -> None:
    toml = TAX_PAYMENTS.partition("[columns]")[0].replace("C2.05", "C3.02").replace("S04", "S66")
    toml = toml.replace('event_date = "所属期起"\n', "") + '[columns]\n"借据" = { item = "C3.02.01" }\n'
    for basis in ("lender", "consent"):
        assert load(tmp_path, toml.replace('"department"', f'"{basis}"')).basis == basis


def test_a_feed_file_that_is_not_text_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.toml").mkdir()
    for name in ("binary", "folder"):
        with pytest.raises(BureauError, match=rf"{name}\.toml: "):
            feeds.load(tmp_path / f"{name}.toml")
