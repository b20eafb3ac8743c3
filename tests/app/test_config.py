# SPDX-License-Identifier: Apache-2.0
"""The settings: read in one place, each of them documented, a wrong one named."""

import re
from pathlib import Path

import pytest

from app import config
from kernel.errors import SettingError

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\bBUREAU_[A-Z_]+\b")
READ = set(NAME.findall((ROOT / "app" / "config.py").read_text()))
FOR_TESTS = {"BUREAU_TEST_DATA"}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in READ:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", sorted(READ))
def test_every_setting_is_documented(name: str) -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(f"`{name}`" in document.read_text() for document in documents)


def test_no_document_tells_of_a_setting_that_is_not_read() -> None:
    documents = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    told = set(NAME.findall("\n".join(file.read_text() for file in [*documents, *(ROOT / "docs").rglob("*.md")])))
    assert told - READ - FOR_TESTS == set()


def test_the_defaults_lie_under_var(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = config.read()
    home = tmp_path / "var"
    assert settings == config.Settings(
        home=home,
        database_url=f"sqlite:///{home / 'bureau.db'}",
        migration_url=f"sqlite:///{home / 'bureau.db'}",
        root_key=home / "keys" / "root.key",
        policy=None,
        public_url="http://127.0.0.1:8000",
        log_level="info",
    )
    assert settings.demo_file == home / "demo.json"


def test_a_setting_that_is_empty_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = config.read()
    for name in READ:
        monkeypatch.setenv(name, "")
    assert config.read() == unset


def test_each_setting_is_taken_as_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUREAU_HOME", "/srv/bureau")
    monkeypatch.setenv("BUREAU_DATABASE_URL", "postgresql://bureau@/bureau")
    monkeypatch.setenv("BUREAU_PUBLIC_URL", "https://bureau.example/")
    monkeypatch.setenv("BUREAU_LOG_LEVEL", "WARNING")
    settings = config.read()
    assert settings.root_key == Path("/srv/bureau/keys/root.key")
    assert settings.migration_url == settings.database_url == "postgresql://bureau@/bureau"
    monkeypatch.setenv("BUREAU_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::1")
    assert [str(one) for one in config.read().trusted_proxies] == ["10.0.0.0/8", "2001:db8::1/128"]
    assert (settings.public_url, settings.log_level) == ("https://bureau.example", "warning")
    monkeypatch.setenv("BUREAU_SCREENINGS_PER_DAY", "250")
    assert config.read().screenings_per_day == 250
    monkeypatch.setenv("BUREAU_MIGRATION_URL", "postgresql://owner@/bureau")
    monkeypatch.setenv("BUREAU_ROOT_KEY", "/run/keys/root.key")
    assert config.read().migration_url == "postgresql://owner@/bureau"
    assert config.read().root_key == Path("/run/keys/root.key")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BUREAU_PUBLIC_URL", "ftp://bureau.example"),
        ("BUREAU_LOG_LEVEL", "loud"),
        ("BUREAU_REQUIRE_TOTP", "maybe"),
        ("BUREAU_SCREENINGS_PER_DAY", "0"),
        ("BUREAU_SCREENINGS_PER_DAY", "many"),
        ("BUREAU_SCREENINGS_PER_DAY", "1000001"),
        ("BUREAU_METRICS_TOKEN", "short"),
        ("BUREAU_METRICS_TOKEN", "with blanks in it, and long enough"),
        ("BUREAU_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("BUREAU_TRUSTED_PROXIES", "x"),
        ("BUREAU_TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=name):
        config.read()
