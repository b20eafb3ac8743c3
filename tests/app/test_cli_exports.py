# SPDX-License-Identifier: Apache-2.0
"""`bureau verify` of what was taken over HTTP: the proof stands in the file's own last line."""

from pathlib import Path
from typing import Any

import pytest

from audit import sealing, takings
from audit.export import FORMS, Form
from audit.takings import Wanted
from kernel.auth import Principal
from tests.app.conftest import Bureau
from tests.audit.test_rewards import answered, append
from tests.audit.test_sealing import ORIGIN

OFFICER = Principal("person:officer", frozenset({"audit:read"}), person="officer", role="compliance")


@pytest.mark.parametrize("form", FORMS)
def test_a_file_taken_over_http_is_verified_with_the_keys_alone(
    bureau: Bureau, tmp_path: Path, monkeypatch: Any, form: Form
) -> None:
    append(monkeypatch, *(answered(f"u{number}", "ij"[number % 2]) for number in range(9)))
    sealing.seal(ORIGIN)
    whole, some = tmp_path / "whole", tmp_path / "some"
    whole.write_bytes(b"".join(takings.take(Wanted(0, None, form, {}), OFFICER)))
    some.write_bytes(b"".join(takings.take(Wanted(1, 9, form, {"institution": "j"}), OFFICER)))
    assert bureau("seal").code == 0  # publishes the log's key, where verify looks for it
    told = bureau("verify", str(whole), "--json").json
    assert (told["ok"], told["from"], told["to"], told["shown"], told["asked"]) == (True, 0, 9, 9, None)
    told = bureau("verify", str(some), "--json").json
    assert (told["ok"], told["from"], told["to"], told["shown"], told["asked"]) == (True, 1, 9, 4, {"institution": "j"})
    assert "4 leaves left out, as the bureau signed" in bureau("verify", str(some)).out
    lines = some.read_bytes().splitlines(keepends=True)
    some.write_bytes(b"".join([*lines[:-2], lines[-1]]))
    refused = bureau("verify", str(some), "--json")
    assert (refused.code, refused.json["ok"]) == (1, False)
    whole.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:-1]))
    assert "cut off" in bureau("verify", str(whole)).complaint
