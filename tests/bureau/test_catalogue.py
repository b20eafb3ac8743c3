# SPDX-License-Identifier: Apache-2.0
"""The catalogue loads whole or not at all, and says where it is wrong."""

import csv
import os
import re
import shutil
from pathlib import Path

import pytest

from bureau import catalogue
from kernel.errors import SettingError

SHARED = Path(os.environ.get("BUREAU_TEST_DATA", "absent")) / "data"


def test_the_shipped_catalogue_has_exactly_the_published_totals() -> None:
    found = catalogue.load()
    assert [len(part) for part in (found.classes, found.datasets, found.items, found.sources)] == [
        7,
        83,
        606,
        75,
    ]
    assert sum(len(dataset.items) for dataset in found.datasets.values()) == 606


def test_the_current_catalogue_is_the_shipped_one_and_is_read_once() -> None:
    assert catalogue.current() == catalogue.load()
    assert catalogue.current() is catalogue.current()


def test_the_catalogue_cannot_be_changed() -> None:
    found = catalogue.load()
    with pytest.raises(TypeError):
        found.items["C1.01.01"] = found.items["C1.01.02"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        found.items["C1.01.01"].sensitivity = 5  # type: ignore[misc]


def test_every_item_has_a_known_type_and_every_amount_a_currency() -> None:
    items = catalogue.load().items
    assert {item.type for item in items.values()} <= catalogue.ITEM_TYPES
    amounts = [item for item in items.values() if item.type == "money"]
    assert len(amounts) > 100
    assert all(item.unit in {"CNY", "USD"} or item.unit[1:] in items for item in amounts)


def test_registered_capital_takes_its_currency_from_the_item_beside_it() -> None:
    found = catalogue.load()
    assert (found.items["C1.01.07"].type, found.items["C1.01.07"].unit) == ("money", "@C1.01.08")
    assert [item.code for item in found.datasets["C1.01"].items][6:8] == ["C1.01.07", "C1.01.08"]


def test_kinds_keys_and_event_dates_are_as_the_design_names_them() -> None:
    datasets = catalogue.load().datasets
    found = {code: (d.kind, d.key_items, d.event_date_item) for code, d in datasets.items()}
    assert found["C1.01"] == ("state", (), "C1.01.10")
    assert found["C1.03"] == ("state", ("C1.03.01", "C1.03.04"), "C1.03.06")
    assert found["C2.01"] == ("period", ("event_date", "C2.01.01"), None)
    assert found["C1.10"] == ("period", ("event_date",), None)
    assert found["C5.01"] == ("event", (), "C5.01.04")
    assert found["C4.10"] == ("event", (), "C4.10.07")


def test_abbreviated_sources_are_resolved_to_the_listed_units() -> None:
    datasets = catalogue.load().datasets
    assert datasets["C2.02"].sources == ("S51", "S52", "S53", "S54", "S55")
    assert datasets["C3.02"].sources == ("S66", "S67", "S68")
    assert datasets["C1.10"].sources == ("S04", "self")
    assert datasets["C7.06"].sources == ("derived",)


def test_what_lenders_supply_and_what_is_personal_is_at_level_four() -> None:
    found = catalogue.load()
    lent = [i for d in found.datasets.values() if d.source_kind == "lender" for i in d.items]
    personal = [item for item in found.items.values() if item.personal]
    assert len(lent) > 60
    assert len(personal) > 20
    assert {item.sensitivity for item in lent + personal} == {4}


def test_duties_are_not_personal_but_documents_and_phones_are() -> None:
    items = catalogue.load().items
    assert not any(items[code].personal for code in ("C1.01.06", "C1.03.01", "C1.03.04"))
    assert all(items[code].personal for code in ("C1.03.03", "C1.09.06", "C7.01.01", "C7.06.01"))


def test_defaults_penalties_and_enforcement_are_negative_and_plain_facts_are_not() -> None:
    items = catalogue.load().items
    assert all(items[code].negative for code in ("C3.08.01", "C4.10.05", "C5.05.02", "C2.01.07", "C3.02.14"))
    assert not any(items[code].negative for code in ("C1.01.01", "C3.02.07", "C3.02.13", "C5.01.01", "C7.04.01"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="BUREAU_TEST_DATA does not lead to the reference catalogue")
def test_codes_names_and_counts_are_those_of_the_reference_in_its_order() -> None:
    found = catalogue.load()
    assert [(i.code, i.dataset, i.name_zh) for i in found.items.values()] == [
        (row["item"], row["dataset"], row["name_zh"]) for row in _reference("catalogue-items.csv")
    ]
    assert [(d.code, d.name_zh, len(d.items)) for d in found.datasets.values()] == [
        (row["dataset"], row["name_zh"], int(row["items"])) for row in _reference("catalogue-datasets.csv")
    ]
    assert [(d.class_number, found.classes[d.class_number].name_zh) for d in found.datasets.values()] == [
        (int(row["class"]), row["class_zh"]) for row in _reference("catalogue-datasets.csv")
    ]
    assert [(s.code, s.group_zh, s.name_zh) for s in found.sources.values()] == [
        (row["source"], row["group_zh"], row["name_zh"]) for row in _reference("sources.csv")
    ]


FAULTS = [
    # file, pattern, what it becomes, the report
    ("classes.csv", r"name_en", "english", "classes.csv line 1: expected the header class,name_zh,name_en"),
    ("items.csv", r"^item,", "\ufeffitem,", "items.csv line 1: expected the header item,"),
    ("classes.csv", r"^7,.*\n", "", "classes.csv: expected 7 rows, found 6"),
    ("sources.csv", r"^S75,.*\n", "", "sources.csv: expected 75 rows, found 74"),
    (
        "datasets.csv",
        r"\Z",
        "C7.08,7,x,x,event,,,S01,register,daily,1,x\n",
        "datasets.csv: expected 83 rows, found 84",
    ),
    ("items.csv", r"^C7.07.04,.*\n", "", "items.csv: expected 606 rows, found 605"),
    ("classes.csv", r"^2,", "1,", "classes.csv line 3: 1 stands already at classes.csv line 2"),
    ("sources.csv", r"^S02,", "S01,", "sources.csv line 3: S01 stands already"),
    ("datasets.csv", r"^C1.02,", "C1.01,", "datasets.csv line 3: C1.01 stands already"),
    ("items.csv", r"^C1.01.03,", "C1.01.02,", "items.csv line 4: C1.01.02 stands already"),
    ("items.csv", r"^(C1.01.16),C1.01,", r"\1,C9.99,", "items.csv line 17: unknown dataset C9.99"),
    ("items.csv", r"^(C1.01.16),C1.01,", r"\1,C1.02,", "datasets.csv line 2: expected 22 items, found 21"),
    ("items.csv", r"^(C1.01.16,C1.01),住所,", r"\1,", "items.csv line 17: expected 10 columns, found 9"),
    ("items.csv", r"^(C1.01.16,C1.01),住所,", r"\1, ,", "items.csv line 17: name_zh must be text"),
    ("items.csv", r"^(C1.01.16,.*),string,", r"\1,float,", "items.csv line 17: type must be one of boolean"),
    (
        "items.csv",
        r"^(C1.01.16,.*),1,0,0$",
        r"\1,6,0,0",
        "items.csv line 17: sensitivity must be a whole number",
    ),
    (
        "items.csv",
        r"^(C1.01.16,.*),1,0,0$",
        r"\1,0,0,0",
        "items.csv line 17: sensitivity must be a whole number",
    ),
    (
        "items.csv",
        r"^(C1.01.16,.*),1,0,0$",
        r"\1,1,yes,0",
        "items.csv line 17: negative must be a whole number",
    ),
    (
        "items.csv",
        r"^(C1.01.16,.*),1,0,0$",
        r"\1,1,0,2",
        "items.csv line 17: personal must be a whole number",
    ),
    ("items.csv", r"^(C1.01.07,.*)@C1.01.08", r"\1", "items.csv line 8: money needs a unit"),
    ("items.csv", r"^(C1.01.07,.*)@C1.01.08", r"\1yuan", "items.csv line 8: money needs a unit"),
    ("items.csv", r"^(C1.01.07,.*)@C1.01.08", r"\1@C1.01.99", "items.csv line 8: unit @C1.01.99 must lead"),
    ("items.csv", r"^(C1.01.07,.*)@C1.01.08", r"\1@C3.02.08", "items.csv line 8: unit @C3.02.08 must lead"),
    ("items.csv", r"^(C1.01.07,.*)@C1.01.08", r"\1@C1.01.10", "items.csv line 8: unit @C1.01.10 must lead"),
    ("items.csv", r"^(C1.01.07,.*),money,", r"\1,integer,", "items.csv line 8: unit @C1.01.08 must lead"),
    ("items.csv", r"^(C1.01.15,.*),registration-status,", r"\1,nothing,", "items.csv line 16: codes must name a set"),
    ("items.csv", r"^(C1.06.06,.*),人,,", r"\1,人,tax,", "items.csv line 57: codes must name a set"),
    ("codes.csv", r"^tax-grade,B,", "tax-grade,A,", "codes.csv line 389: tax-grade has A already"),
    ("codes.csv", r"^(tax-grade,A),.*", r"\1,", "codes.csv line 388: name_en must be text"),
    ("datasets.csv", r"^(C1.04,.*),企业信息公示.*$", r"\1,", "datasets.csv line 5: legal_basis must be text"),
    ("classes.csv", r"^3,", "x,", "classes.csv line 4: class must be a whole number"),
    ("sources.csv", r"^(S01,.*,).*$", r"\1", "sources.csv line 2: name_en must be text"),
    ("datasets.csv", r"^C1.02,1,", "C1.02,8,", "datasets.csv line 3: class must be one of 1, 2"),
    ("datasets.csv", r"^(C1.02,.*),event,", r"\1,happening,", "datasets.csv line 3: kind must be one of"),
    ("datasets.csv", r"^(C1.02,.*),daily,5", r"\1,hourly,5", "datasets.csv line 3: frequency must be one of"),
    (
        "datasets.csv",
        r"^(C1.02,.*),register,",
        r"\1,office,",
        "datasets.csv line 3: source_kind must be one of",
    ),
    ("datasets.csv", r"^(C1.02,.*),S01,", r"\1,S76,", "datasets.csv line 3: sources names S76"),
    ("datasets.csv", r"^(C1.02,.*),S01,", r"\1,S01 S01,", "datasets.csv line 3: sources names S01"),
    ("datasets.csv", r"^(C1.02,.*),S01,", r"\1,,", "datasets.csv line 3: sources must be text"),
    ("datasets.csv", r"^(C1.02,.*),5,", r"\1,6,", "datasets.csv line 3: expected 6 items, found 5"),
    ("datasets.csv", r"^(C1.02,.*),5,", r"\1,0,", "datasets.csv line 3: items must be a whole number"),
    (
        "datasets.csv",
        r"^(C1.02,.*,event),,",
        r"\1,C1.02.05,",
        "datasets.csv line 3: an event takes no key_items",
    ),
    (
        "datasets.csv",
        r"^(C2.01,.*) C2.01.01,",
        r"\1 C2.01.99,",
        "datasets.csv line 15: key_items names C2.01.99",
    ),
    (
        "datasets.csv",
        r"^(C2.01,.*) C2.01.01,",
        r"\1 C2.02.01,",
        "datasets.csv line 15: key_items names C2.02.01",
    ),
    (
        "datasets.csv",
        r"^(C2.01,.*),event_date C2.01.01,",
        r"\1,,",
        "datasets.csv line 15: key_items must be text",
    ),
    (
        "datasets.csv",
        r"^(C1.02,.*),C1.02.04,",
        r"\1,C1.02.44,",
        "datasets.csv line 3: event_date names C1.02.44",
    ),
    (
        "datasets.csv",
        r"^(C1.02,.*),C1.02.04,",
        r"\1,C1.01.10,",
        "datasets.csv line 3: event_date names C1.01.10",
    ),
    (
        "datasets.csv",
        r"^(C1.02,.*),C1.02.04,",
        r"\1,C1.02.01,",
        "datasets.csv line 3: event_date names C1.02.01",
    ),
]


@pytest.mark.parametrize(("file", "pattern", "becomes", "report"), FAULTS)
def test_a_fault_stops_the_load_and_is_named_with_its_file_and_line(
    tmp_path: Path, file: str, pattern: str, becomes: str, report: str
) -> None:
    folder = _copy(tmp_path)
    text = (folder / file).read_text(encoding="utf-8")
    faulty, changes = re.subn(pattern, becomes, text, count=1, flags=re.MULTILINE)
    assert changes == 1
    (folder / file).write_text(faulty, encoding="utf-8")
    with pytest.raises(SettingError) as stopped:
        catalogue.load(folder)
    assert stopped.value.detail.startswith(report)


def test_a_file_that_is_missing_or_not_utf_8_is_named(tmp_path: Path) -> None:
    folder = _copy(tmp_path)
    (folder / "items.csv").write_bytes((folder / "items.csv").read_text(encoding="utf-8").encode("gb18030"))
    with pytest.raises(SettingError, match=r"^items\.csv cannot be read"):
        catalogue.load(folder)
    (folder / "sources.csv").unlink()
    with pytest.raises(SettingError, match=r"^sources\.csv cannot be read"):
        catalogue.load(folder)


def test_an_operators_own_smaller_catalogue_loads_when_no_counts_are_expected(tmp_path: Path) -> None:
    folder = _copy(tmp_path)
    for file, kept in (
        ("classes.csv", "1,"),
        ("datasets.csv", "C1."),
        ("items.csv", "C1."),
        ("sources.csv", "S"),
    ):
        lines = (folder / file).read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / file).write_text(lines[0] + "".join(x for x in lines[1:] if x.startswith(kept)), encoding="utf-8")
    with pytest.raises(SettingError, match=r"^classes\.csv: expected 7 rows, found 1$"):
        catalogue.load(folder)
    found = catalogue.load(folder, expect=None)
    assert (list(found.classes), len(found.datasets)) == ([1], 13)


def _copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(catalogue.SHIPPED, tmp_path / "catalogue"))


def _reference(name: str) -> list[dict[str, str]]:
    with (SHARED / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
