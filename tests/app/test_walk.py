# SPDX-License-Identifier: Apache-2.0
"""The walk that `make run` prints works as printed: pasted into a shell, block by block, in the demo city."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import walk
from tests.journeys import cast, service
from tests.journeys.cast import Bank, Enterprise
from tests.journeys.service import Service

BLOCK = re.compile(r"(?m)^ {2}# \d+\. ")
CUT = 600  # characters of an answer that the walk shows


@pytest.fixture
def credentials(city_home: Path) -> dict[str, Any]:
    return json.loads((city_home / "demo.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture
def served(city_home: Path, tmp_path: Path) -> Iterator[Service]:
    with service.served({"BUREAU_HOME": str(city_home)}, tmp_path / "service.log") as running:
        yield running


@pytest.fixture
def folder(city_home: Path, tmp_path: Path) -> Path:
    """The project's folder as `make run` leaves it: .venv with the commands, and ./var with the city."""
    assert city_home == tmp_path / "var"
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    for command in (Path(sys.executable), Path(service.BUREAU)):
        (commands / command.name).symlink_to(command)
    if not (commands / "python").exists():
        (commands / "python").symlink_to(sys.executable)
    return tmp_path


def test_the_walk_works_as_it_is_printed(folder: Path, served: Service, credentials: dict[str, Any]) -> None:
    uscc, consent = credentials["enterprise"]["uscc"], credentials["consent_id"]

    who, answered, revoked, refused, regranted, proved = paste(folder, walk.text(credentials, served.base))

    assert who == ""
    assert answered.startswith('{"query_id":"')
    assert f'"uscc":"{uscc}"' in answered
    assert f'"consent_id":"{consent}"' in answered
    assert len(answered.encode()) > CUT - 4  # of bytes, so that the last character may be half a one
    ended = json.loads(revoked)
    assert (ended["consent_id"], ended["status"], ended["reason"]) == (consent, "revoked", "trying it out")
    problem = json.loads(refused)
    assert (problem["status"], problem["type"]) == (403, f"{served.base}/problems/no-consent")
    granted, _, again = regranted.strip().partition("\n")
    assert json.loads(granted)["status"] == "active"
    assert f'"consent_id":"{json.loads(granted)["consent_id"]}"' in again
    assert again.startswith('{"query_id":"')
    log, _, verdict = proved.strip().rpartition("\n")
    assert [line for line in log.splitlines() if '"reason"' in line][1].strip() == '"reason": "no-consent",'
    assert re.fullmatch(r"ok: \d+ entries checked, \d+ sealed, \d+ unsealed", verdict)


def test_the_demo_s_people_and_clients_can_come_in(served: Service, credentials: dict[str, Any]) -> None:
    bank, enterprise = credentials["bank"], credentials["enterprise"]
    issued = cast.fetch_token(served, Bank(bank["institution"], "", bank["client_id"], bank["client_secret"]))
    assert set(issued.json["scope"].split()) == {
        "credit:query",
        "screening:search",
        "consent:request",
        "consent:read",
    }
    source = credentials["source"]
    issued = cast.fetch_token(served, Bank("", "", source["client_id"], source["client_secret"]))
    assert issued.json["scope"] == "batch:write"
    for person in (enterprise, credentials["compliance"]):
        assert cast.sign_in(served, Enterprise("", person["username"], person["password"]))


def paste(folder: Path, text: str) -> list[str]:
    """What each block of a walk prints when all are pasted into one shell; fails at any complaint."""
    starts = [found.start() for found in BLOCK.finditer(text)]
    ends = [*starts[1:], text.index("\n\n", starts[-1])]
    mark = "-- the block ends here --"
    script = "".join(f"{text[start:end]}\necho '{mark}'\n" for start, end in zip(starts, ends, strict=True))
    environment = service.clean_environment()
    pasted = subprocess.run(
        ["bash"],
        input=script.encode(),
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (pasted.returncode, pasted.stderr) == (0, b"")
    printed = pasted.stdout.decode(errors="replace")
    return [block.strip("\n") for block in printed.split(f"{mark}\n")[:-1]]
