# SPDX-License-Identifier: Apache-2.0
"""docs/oauth-profile.md: its examples run as they are printed, one after the other, against a served bureau."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests import factories
from tests.conftest import House
from tests.journeys import service
from tests.journeys.service import BUREAU, Service

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "oauth-profile.md"
RUNS = {"sh": ["bash", "-euo", "pipefail"], "python": [sys.executable], "js": ["node"]}
FILES = {"sh": "example.sh", "python": "example.py", "js": "example.mjs"}


class Example(NamedTuple):
    language: str
    text: str


def examples() -> list[Example]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Example(*each) for each in found]


def test_the_examples_run_as_they_are_printed(shared_service: Service, shared_house: House, tmp_path: Path) -> None:
    shown = examples()
    assert [each.language for each in shown] == ["sh", "python", "sh", "sh", "python", "js"]
    (tmp_path / "node_modules").symlink_to(ROOT / "tests" / "clients" / "node_modules")
    environment = {
        **service.clean_environment(),
        **shared_house.environment,
        "PATH": f"{Path(BUREAU).parent}{os.pathsep}{os.environ['PATH']}",
        "BASE": shared_service.base,
        "INSTITUTION": factories.bank(),
    }
    printed = []
    for each in shown:
        file = tmp_path / FILES[each.language]
        file.write_text(each.text, encoding="utf-8")
        command = [*RUNS[each.language], file.name]
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, (each.text, ran.stderr)
        printed.append(ran.stdout)
        if "client add" in each.text:
            environment["CLIENT_ID"] = json.loads(ran.stdout)["client_id"]
    assert json.loads(printed[3])["token_type"] == "Bearer"
    for answer in map(json.loads, printed[4:]):
        assert (answer["token_type"].lower(), answer["consents"]) == ("dpop", [])
