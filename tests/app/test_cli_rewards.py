# SPDX-License-Identifier: Apache-2.0
"""The yearly reward at the counter: stated, frozen, and recounted offline by whoever has an export."""

import json
from pathlib import Path
from typing import Any

from audit import log, sealing
from kernel import clock, db, signing
from tests.app.conftest import Bureau
from tests.audit.test_rewards import answered, append
from tests.audit.test_sealing import ORIGIN
from tests.audit.test_statements import SETTLED, SUMMER

CONTRACT = {"year", "queries", "billable", "rate_fen", "cap_fen", "reward_fen", "leaf_from", "leaf_to", "root", "final"}


def test_a_year_is_stated_frozen_and_recounted_offline(bureau: Bureau, tmp_path: Path, monkeypatch: Any) -> None:
    append(monkeypatch, answered("u"), answered("v"), answered("u"), now=SUMMER)
    sealing.seal(ORIGIN)
    stated = bureau("rewards", "2026", "--json")
    assert (stated.code, stated.json["final"], stated.json["billable"]) == (0, False, 2)
    assert stated.json.keys() > CONTRACT
    assert "no rate is set" in stated.err
    assert "not over" in bureau("rewards", "2026", "--freeze").complaint
    monkeypatch.setattr(clock, "now", lambda: SETTLED)
    frozen = bureau("rewards", "2026", "--freeze", "--json")
    assert (frozen.code, frozen.json["final"]) == (0, True)
    assert bureau("rewards", "2026", "--json").out == frozen.out
    assert "(frozen 2026-12-31T17:00" in bureau("rewards", "2026").out
    assert bureau("rewards", "2026", "--supplements", "--json").json == []

    statement, taken, key, jwks = (tmp_path / name for name in ("statement", "log", "key", "jwks"))
    statement.write_text(frozen.out)
    bureau("seal")
    assert bureau("export", "--out", str(taken), "--to", str(frozen.json["leaf_to"])).code == 0
    proof = ("verify", str(statement), "--export", str(taken))
    assert bureau(*proof, "--json").json["reward_fen"] == 0
    with db.reading() as reading:
        jwks.write_text(json.dumps({"keys": signing.public_keys(reading, "consent", "reward")}))
        key.write_text("\n".join(map(str, log.keys(reading, ORIGIN))))
    nowhere = {"DATABASE_URL": "", "HOME": str(tmp_path / "nowhere"), "ROOT_KEY": ""}
    offline = bureau(*proof, "--key", str(key), "--jwks", str(jwks), **nowhere)
    assert (offline.code, offline.out.startswith("ok: ")) == (0, True)
    statement.write_text(frozen.out.replace('"billable": 2', '"billable": 3'))
    refused = bureau(*proof, "--key", str(key), "--jwks", str(jwks), "--json", **nowhere)
    assert (refused.code, refused.json["ok"]) == (1, False)
    assert "no JWK set" in bureau(*proof, "--jwks", str(key)).complaint
