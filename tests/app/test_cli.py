# SPDX-License-Identifier: Apache-2.0
"""The command line at work: what each command prints with --json, and with which code it ends."""

import gzip
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import yaml
from sqlalchemy import text

from app import cli
from audit import trail
from audit.events import Event
from kernel import db
from kernel.uscc import check_symbol
from tests import factories
from tests.app.conftest import Bureau
from tests.conftest import House

COLUMNS = "企业名称,统一社会信用代码,注册日期,企业类型,注册资金,经营范围,所在省份,地区"
SOLE_TRADER = "9232059900000000X"
SOLE_TRADER += check_symbol(SOLE_TRADER)


@pytest.fixture
def register(tmp_path: Path) -> Path:
    """A delivery of five rows: two good ones, the first of them once more, no code, and a sole trader."""
    first, second = factories.new_uscc(), factories.new_uscc()
    codes = (first, second, first, "N/A", SOLE_TRADER)
    rows = [
        COLUMNS,
        *(f"苏州演示公司,{code},2019-05-06,有限责任公司,200(万),制造,江苏,苏州" for code in codes),
    ]
    file = tmp_path / "register.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


def test_init_and_openapi_need_no_bureau_and_the_document_is_yaml(bureau: Bureau, tmp_path: Path) -> None:
    nowhere = {"DATABASE_URL": "", "HOME": str(tmp_path / "nowhere"), "ROOT_KEY": ""}
    printed = bureau("openapi", **nowhere)
    assert (printed.code, printed.err) == (0, "")
    assert yaml.safe_load(printed.out)["openapi"].startswith("3.1.")
    made = bureau("init", **nowhere)
    assert (made.code, made.out) == (0, "")
    assert "back up" in made.err


def test_an_institution_is_added_and_listed(bureau: Bureau) -> None:
    added = bureau("institution", "add", "演示银行", "--kind", "bank", "--json")
    assert (added.code, added.err, added.json.keys()) == (0, "", {"institution"})
    listed = bureau("institution", "list", "--json")
    line = {**added.json, "name": "演示银行", "kind": "bank", "status": "approved", "products": [], "purposes": []}
    assert (listed.code, listed.json) == (0, [line])
    assert bureau("institution", "list").out == f"{line['institution']}  approved   bank       演示银行\n"


def test_a_client_of_an_institution_or_a_source_is_added_and_disabled(bureau: Bureau) -> None:
    institution = bureau("institution", "add", "演示银行", "--kind", "bank", "--json").json["institution"]
    for party, scope in ((institution, "credit:query,consent:read"), ("S01", "batch:write")):
        added = bureau("client", "add", party, "--scope", scope, "--auth", "client_secret_basic", "--json")
        assert (added.code, added.json.keys()) == (0, {"client_id", "client_secret"})
        disabled = bureau("client", "disable", added.json["client_id"])
        assert (disabled.code, disabled.out) == (0, "")


@pytest.mark.parametrize("role", ["enterprise", "compliance", "finance", "admin", "security"])
def test_a_person_of_each_role_is_added(bureau: Bureau, role: str) -> None:
    enterprise = ["--uscc", factories.new_uscc()] if role == "enterprise" else []
    added = bureau("person", "add", "--role", role, *enterprise, "--json")
    assert (added.code, added.json.keys()) == (0, {"username", "password"})


def test_a_delivery_is_collected_once_and_its_receipt_given_again(bureau: Bureau, register: Path) -> None:
    collected = bureau("collect", "market-regulation-register", "--file", str(register), "--json")
    assert collected.code == 0
    receipt = collected.json
    assert receipt.keys() >= {
        "batch",
        "feed",
        "rows",
        "accepted",
        "rejected",
        "repeated",
        "duplicate",
        "reasons",
    }
    assert receipt["feed"] == "market-regulation-register"
    assert (receipt["rows"], receipt["accepted"], receipt["rejected"], receipt["repeated"]) == (5, 3, 2, 1)
    assert receipt["reasons"] == {"invalid-uscc": 1, "sole-trader": 1}
    assert receipt["duplicate"] is False
    again = bureau("collect", "market-regulation-register", "--file", str(register), "--json")
    assert (again.code, again.json) == (0, {**receipt, "duplicate": True})
    told = bureau("collect", "market-regulation-register", "--file", str(register))
    assert "received before" in told.out


def test_a_packed_delivery_is_another_delivery_of_the_same_rows(bureau: Bureau, register: Path) -> None:
    packed = register.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(register.read_bytes()))
    bureau("collect", "market-regulation-register", "--file", str(register))
    receipt = bureau("collect", "market-regulation-register", "--file", str(packed), "--json").json
    assert (receipt["accepted"], receipt["repeated"], receipt["duplicate"]) == (3, 3, False)


def test_a_consent_is_granted_listed_and_revoked(bureau: Bureau) -> None:
    bank, uscc = factories.bank(), factories.new_uscc()
    given = ["--uscc", uscc, "--institution", bank, "--classes", "2,1", "--purposes", "pre_loan,post_loan"]
    granted = bureau("consent", "grant", *given, "--products", "records", "--days", "365", "--json")
    assert (granted.code, granted.json.keys()) == (0, {"consent_id"})
    collect = bureau(
        "consent",
        "grant",
        "--uscc",
        uscc,
        "--scope",
        "collect",
        "--classes",
        "1",
        "--purposes",
        "pre_loan",
        "--json",
    )
    (newest, first) = bureau("consent", "list", "--uscc", uscc, "--json").json
    assert newest["consent_id"] == collect.json["consent_id"]
    assert (newest["scope"], newest["grantee"], newest["expires_at"]) == ("collect", "platform", None)
    assert first["expires_at"].endswith("Z")
    assert {name: value for name, value in first.items() if name != "expires_at"} == {
        "consent_id": granted.json["consent_id"],
        "uscc": uscc,
        "scope": "query",
        "grantee": bank,
        "classes": [1, 2],
        "purposes": ["post_loan", "pre_loan"],
        "products": ["records"],
        "status": "active",
    }
    revoked = bureau("consent", "revoke", first["consent_id"], "--reason", "paid back")
    assert (revoked.code, revoked.out, revoked.err) == (0, "", "")
    states = [consent["status"] for consent in bureau("consent", "list", "--json").json]
    assert states == ["active", "revoked"]


def test_a_question_at_the_counter_is_answered_as_a_client_s_would_be(bureau: Bureau) -> None:
    bank, uscc = factories.bank(), factories.new_uscc()
    factories.deliver([factories.registration(1, uscc)])
    factories.consent(uscc, bank)
    asked = ["--institution", bank, "--uscc", uscc, "--operator", "OP-00042", "--classes", "1"]
    answered = bureau("query", *asked, "--json")
    assert (answered.code, answered.err) == (0, "")
    assert [found["class"] for found in answered.json["classes"]] == [1]
    with db.reading() as reading:
        entry = trail.find(reading, answered.json["query_id"])
    assert entry is not None
    assert (entry["channel"], entry["operator"], entry["type"]) == (
        "counter",
        "OP-00042",
        Event.QUERY_ANSWERED,
    )


def test_a_refused_question_ends_with_1_and_one_document_all_the_same(bureau: Bureau) -> None:
    asked = ["--institution", factories.bank(), "--uscc", factories.new_uscc(), "--operator", "OP-00042"]
    refused = bureau("query", *asked, "--json")
    assert (refused.code, refused.json["error"]) == (1, "no-consent")
    assert refused.err == f"bureau: {refused.json['detail']}\n"
    assert bureau("query", *asked).out == ""
    report = bureau("verify", "--json").json
    assert (report["ok"], report["unsealed"]) == (True, 3)  # the bank's own entry, and both refusals


def test_verify_says_yes_with_0_and_no_with_1(bureau: Bureau, open_house: House) -> None:
    factories.bank()
    sound = bureau("verify", "--json")
    assert (sound.code, sound.err) == (0, "")
    expected = {"ok": True, "size": 0, "root": None, "unsealed": 1, "faults": []}
    assert sound.json.items() >= expected.items()
    guard = "entry_no_update" if open_house.engine == "sqlite" else "entry_append_only ON entry"
    with db.transaction() as tx:
        tx.execute(text(f"DROP TRIGGER {guard}"))
        tx.execute(text("UPDATE entry SET actor = 'nobody'"))
    altered = bureau("verify", "--json")
    assert (altered.code, altered.json["ok"]) == (1, False)
    (fault,) = altered.json["faults"]
    assert "actor" in fault["fault"]
    told = bureau("verify")
    assert told.code == 1
    assert told.out.startswith(f"entry {fault['entry']}: ")


def test_compact_says_how_many_classes_it_merged(bureau: Bureau) -> None:
    uscc = factories.new_uscc()
    for month in range(12):
        factories.deliver([factories.registration(1, uscc, **{"C1.01.07": month})])
    assert bureau("compact", "--json").json == {"compacted": 1, "removed": 0}
    assert bureau("compact").out == "0 classes compacted, 0 records removed by retention\n"


def test_an_institutions_contract_and_status_are_changed_at_the_counter(bureau: Bureau) -> None:
    one = bureau("institution", "add", "演示银行", "--kind", "bank", "--json").json["institution"]
    terms = ["--products", "records", "--purposes", "pre_loan,post_loan", "--networks", "10.0.0.0/8,2001:db8::/32"]
    terms += ["--per-second", "50", "--per-day", "1000", "--contract-ref", "合同1", "--contract-until", "2036-12-31"]
    told = bureau("institution", "set", one, *terms, "--json").json
    expected = {"products": ["records"], "purposes": ["post_loan", "pre_loan"], "per_second": 50, "per_day": 1000}
    expected |= {"networks": ["10.0.0.0/8", "2001:db8::/32"], "contract_ref": "合同1", "contract_until": "2036-12-31"}
    assert {name: told[name] for name in expected} == expected
    nothing = ["--products", "-", "--purposes", "-", "--networks", "-", "--contract-ref", "-"]
    nothing += ["--per-second", "-1", "--per-day", "-1", "--contract-until", "9999-12-31"]
    told = bureau("institution", "set", one, *nothing, "--json").json
    assert [told[name] or None for name in expected] == [None] * len(expected)
    for act, status in (("suspend", "suspended"), ("resume", "approved"), ("close", "closed")):
        done = bureau("institution", act, one, "--reason", "演练", "--json")
        assert (done.code, done.json) == (0, {"institution": one, "status": status})
    assert "nothing leads out" in bureau("institution", "resume", one).complaint
    assert "--reason" in bureau("institution", "suspend", one).complaint
    other = bureau("institution", "add", "演示银行二", "--kind", "bank").out.strip()
    assert "allow-list" in bureau("institution", "set", other, "--networks", "10.0.0.1/8").complaint
    assert bureau("institution", "show", one, "--json").json["status"] == "closed"


def test_a_clients_secret_is_rotated_at_the_counter(bureau: Bureau) -> None:
    one = bureau("institution", "add", "演示银行", "--kind", "bank", "--json").json["institution"]
    added = bureau("client", "add", one, "--scope", "credit:query", "--per-second", "7", "--json").json
    rotated = bureau("client", "rotate", added["client_id"], "--overlap-hours", "2", "--json")
    assert (rotated.code, rotated.json.keys()) == (0, added.keys())
    assert rotated.json["client_id"] == added["client_id"]
    assert rotated.json["client_secret"] != added["client_secret"]
    (listed,) = bureau("client", "list", one, "--json").json
    assert (listed["per_second"], listed["status"], len(listed["secrets"])) == (7, "active", 2)
    bureau("client", "rotate", added["client_id"], "--overlap-hours", "0", "--json")
    bureau("client", "limit", added["client_id"], "--per-second", "-1")
    bureau("client", "disable", added["client_id"])
    (listed,) = bureau("client", "list", "--json").json
    assert (listed["per_second"], listed["status"], len(listed["secrets"])) == (None, "disabled", 1)
    assert bureau("client", "enable", added["client_id"]).code == 0


def test_a_sources_status_is_changed_at_the_counter_and_its_delivery_refused(bureau: Bureau, register: Path) -> None:
    assert "the catalogue has no source S99" in bureau("source", "add", "S99").complaint
    added = bureau("source", "add", "S01", "--basis", "信息共享协议", "--networks", "10.0.0.0/8", "--json")
    assert (added.code, added.json) == (0, {"source": "S01", "status": "approved"})
    assert bureau("source", "set", "S01", "--contract-until", "2036-12-31", "--json").json["basis"] == "信息共享协议"
    assert bureau("source", "suspend", "S01", "--reason", "数据质量", "--json").json["status"] == "suspended"
    refused = bureau("collect", "market-regulation-register", "--file", str(register), "--json")
    assert (refused.code, refused.json["error"]) == (1, "source-not-approved")
    assert bureau("source", "resume", "S01").code == 0
    assert bureau("collect", "market-regulation-register", "--file", str(register), "--json").code == 0
    listed = {one["source"]: one["status"] for one in bureau("source", "list", "--json").json}
    assert (len(listed), listed["S01"], listed["S02"]) == (75, "approved", "unregistered")


def test_the_service_is_stopped_and_started_at_the_counter(bureau: Bureau) -> None:
    stopped = bureau("stop", "all", "--reason", "演练", "--json")
    assert (stopped.code, stopped.json["switch"]) == (0, "all")
    assert [one["reason"] for one in bureau("stops", "--json").json] == ["演练"]
    assert "stopped already" in bureau("stop", "all", "--reason", "演练").complaint
    assert bureau("start", "all", "--json").json == {"started": "all"}
    assert bureau("stops", "--json").json == []
    assert "is not stopped" in bureau("start", "all").complaint
    for wrong in (["stop", "client", "--reason", "x"], ["stop", "all", "x", "--reason", "x"], ["start", "client"]):
        assert "name the client's" in bureau(*wrong).complaint
    assert "no client nobody" in bureau("stop", "client", "nobody", "--reason", "x").complaint


def test_findings_are_listed_and_backtested_at_the_counter_and_the_view_is_an_entry(bureau: Bureau) -> None:
    enterprise, bank = factories.new_uscc(), factories.bank()
    for _ in range(10):
        bureau("query", "--institution", bank, "--uscc", enterprise, "--operator", "OP-1")
    found = bureau("findings", "--json")
    assert found.code == 0
    (told,) = found.json["findings"]
    assert (told["rule"], told["count"], len(told["evidence"]), told["limit"]) == ("repeated-refusals", 10, 10, 10)
    assert told["evidence"][0] in bureau("findings").out
    with db.reading() as reading:
        assert reading.scalar(text("SELECT count(*) FROM entry WHERE type = 'staff.viewed'")) == 2
    backtest = bureau("findings", "--backtest", str(int(told["day"][:4])), "--json").json["findings"]
    assert backtest["repeated-refusals"] == {"0.5": 1, "1.0": 1, "2.0": 0}
    wrong = bureau("findings", "--from", "2026-02-01", "--to", "2026-01-01", "--json")
    assert (wrong.code, wrong.json["error"]) == (2, "invalid-field")


def test_a_client_is_given_redirect_uris_at_the_counter(bureau: Bureau) -> None:
    bank = bureau("institution", "add", "演示回跳银行", "--kind", "bank", "--json").json["institution"]
    back, other = "https://bank.example/back", "https://bank.example/other"
    scope = ("--scope", "consent:request")
    added = bureau("client", "add", bank, *scope, "--redirect-uri", back, "--redirect-uri", other, "--json").json
    uris = lambda: bureau("client", "list", bank, "--json").json[0]["redirect_uris"]  # noqa: E731
    assert uris() == [back, other]
    assert bureau("client", "redirect", added["client_id"], "--redirect-uri", other).code == 0
    assert uris() == [other]
    assert "https" in bureau("client", "redirect", added["client_id"], "--redirect-uri", "http://a.example").complaint
    assert uris() == [other]


def test_every_command_is_registered_by_the_module_that_is_imported_for_it() -> None:
    for name, place in cli.main.places.items():
        sys.modules.pop(place, None)
        cli.main.commands.pop(name, None)
    for module in cli.PLACES:
        import_module(f"app.cli.{module}")
        assert {name for name in cli.main.commands if name in cli.PLACES[module]} == set(cli.PLACES[module])
    modules = {module.name for module in iter_modules(cli.__path__)} - {"__main__"}
    assert (set(cli.main.commands), set(cli.PLACES)) == (set(cli.main.places), modules)


def test_a_command_does_not_wait_for_what_it_does_not_use() -> None:
    asked = "import sys; from app.cli import main; main.get_command(None, 'verify'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert not {"numpy", "paramiko", "pyarrow"} & set(done.stdout.split())
