# SPDX-License-Identifier: Apache-2.0
"""The rules of the house that a machine can check: line of packages, licences, imports, addresses, locks."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINE = PROJECT["tool"]["importlinter"]["root_packages"]  # from the ground up
LOCKS = (ROOT / "requirements" / "runtime.txt", ROOT / "requirements" / "dev.txt")
WRITTEN_HERE = {"var", "build", "dist", "htmlcov", "__pycache__"}  # what no file list outside git should hold

# In pieces, so that this file does not hold what it looks for.
ADDRESSES = re.compile(
    "|".join(
        (
            r"pypi\." + "org",
            "pythonhosted" + r"\.org",
            r"registry\." + r"(npmjs\.org|yarnpkg\.com)",
            "-" + "-(extra-)?index-url[= ]",
            "-" + "-find-links[= ]",
            r"\bindex-url *" + "=",
            r'"resolved": *"' + "https?:",
            "https?://" + r"[^\s\"'<>]*/(simple|packages)/",
        )
    )
)
MACHINE_PATHS = re.compile(r"(?<![A-Za-z0-9_.~}*-])/(work|root|tmp|home|Users)/(?=[A-Za-z0-9_.])")


def test_imports_point_down_the_line() -> None:
    done = _lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [("kernel", "audit"), ("consent", "bureau"), ("bureau", "app"), ("access", "consent")],
)
def test_an_import_that_points_up_breaks_the_contract(tmp_path: Path, importer: str, imported: str) -> None:
    for package in LINE:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    assert _lint_imports(tmp_path).returncode == 0

    (tmp_path / importer / "noun.py").write_text(f"import {imported}\n")

    done = _lint_imports(tmp_path)
    assert done.returncode == 1
    assert f"{importer}.noun -> {imported}" in done.stdout


def test_the_line_is_the_seven_packages_of_the_design() -> None:
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    assert layers == ["app", "connectors", "bureau", "consent", "access", "audit", "kernel"]
    assert layers == LINE[::-1] == PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"][::-1]
    assert sorted(PROJECT["tool"]["mypy"]["files"]) == sorted(LINE)


def test_every_module_names_its_licence_first() -> None:
    unmarked = [
        path
        for path in _python_files()
        if (ROOT / path).stat().st_size and _first_line(path) != "# SPDX-License-Identifier: Apache-2.0"
    ]
    assert not unmarked


def test_every_module_has_a_docstring() -> None:
    assert not [path for path in _python_files() if _tree(path).body and not ast.get_docstring(_tree(path))]


def test_imports_stand_at_the_top_of_a_module_and_nowhere_else() -> None:
    late = [
        f"{path}:{node.lineno}"
        for path in _python_files()
        if path.split("/")[0] in LINE
        for statement in _tree(path).body
        for node in ast.walk(statement)
        if isinstance(node, ast.Import | ast.ImportFrom) and node is not statement
    ]
    assert not late, "an import inside a function or block: is an arrow pointing up?"


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert not [path for path in _files() if Path(path).name in drawers]


def test_no_file_holds_the_address_of_a_package_registry() -> None:
    assert not list(_occurrences(ADDRESSES))


def test_no_file_holds_a_path_of_someones_machine() -> None:
    assert not list(_occurrences(MACHINE_PATHS))


@pytest.mark.parametrize(
    "line",
    [
        "https://files.python" + "hosted.org/x",
        "-" + "-index-url https://mirror.example/simple",
        '"resolved": "' + "https://mirror.example/left-pad.tgz",
        "http://mirror.example:8080/simple" + "/flask/",
    ],
)
def test_the_address_rule_finds_an_address(line: str) -> None:
    assert ADDRESSES.search(line)


def test_the_path_rule_finds_paths_but_not_parts_of_urls() -> None:
    assert MACHINE_PATHS.search("open('/" + "tmp/x')")
    assert MACHINE_PATHS.search("cd /" + "home/ada")
    assert not MACHINE_PATHS.search("https://bureau.example/" + "work/1")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_each_package_by_hash_and_nothing_else(lock: Path) -> None:
    for entry in _entries(lock):
        assert re.fullmatch(r"[a-z0-9-]+==[^ ]+( ; [^\\]+?)?( --hash=sha256:[0-9a-f]{64})+", entry), entry


@pytest.mark.parametrize(("lock", "extras"), [(LOCKS[0], ()), (LOCKS[1], ("dev",))], ids=["runtime.txt", "dev.txt"])
def test_a_lock_holds_what_the_project_asks_for(lock: Path, extras: tuple[str, ...]) -> None:
    asked = [*PROJECT["project"]["dependencies"]]
    for extra in extras:
        asked += PROJECT["project"]["optional-dependencies"][extra]
    pinned = _pins(lock)
    for requirement in map(Requirement, asked):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in {lock.name}: make lock"
        assert requirement.specifier.contains(version), f"{requirement} against {version}: make lock"


def test_what_is_tested_is_what_is_shipped() -> None:
    runtime, dev = map(_pins, LOCKS)
    assert runtime.items() <= dev.items()


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter in a process of its own: it caches what it found in its own."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def _files() -> tuple[str, ...]:
    """The project's own files, as paths from the root: what git tracks or would add, else what lies there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if (ROOT / ".git").exists() and listed.returncode == 0:
        paths = [Path(name) for name in listed.stdout.split("\0") if name]
    else:
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
        paths = [path for path in paths if not any(_is_foreign(part) for part in path.parts[:-1])]
    files = tuple(sorted(path.as_posix() for path in paths if (ROOT / path).is_file()))
    assert "pyproject.toml" in files
    return files


def _is_foreign(folder: str) -> bool:
    return folder in WRITTEN_HERE or folder.endswith(".egg-info") or (folder.startswith(".") and folder != ".ci")


def _python_files() -> tuple[str, ...]:
    return tuple(path for path in _files() if path.endswith(".py"))


@cache
def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


def _first_line(path: str) -> str:
    with (ROOT / path).open() as file:
        return file.readline().rstrip("\n")


def _occurrences(pattern: re.Pattern[str]) -> Iterator[str]:
    for path in _files():
        text = (ROOT / path).read_bytes().decode(errors="replace")
        for number, line in enumerate(text.split("\n"), 1):
            if pattern.search(line):
                yield f"{path}:{number}: {line.strip()[:120]}"


def _entries(lock: Path) -> list[str]:
    """Each requirement on one line, without comments."""
    text = re.sub(r"(?m)^ *#.*\n?", "", lock.read_text())
    return [re.sub(r"\s+", " ", entry).strip() for entry in text.replace("\\\n", " ").splitlines() if entry.strip()]


def _pins(lock: Path) -> dict[str, str]:
    """Package → version."""
    return dict(entry.split(" ")[0].split("==") for entry in _entries(lock))
