# SPDX-License-Identifier: Apache-2.0
"""The settings, read from the environment here and nowhere else; one that is empty counts as not set.

BUREAU_HOME            everything the service writes (default ./var)
BUREAU_DATABASE_URL    default sqlite:///BUREAU_HOME/bureau.db; postgresql://… for production
BUREAU_MIGRATION_URL   the role that owns the schema (default: the same as BUREAU_DATABASE_URL)
BUREAU_ROOT_KEY        the root key's file (default BUREAU_HOME/keys/root.key), or the pkcs11: URI of one in an HSM
BUREAU_CIPHER_SUITE    what new keys encrypt with: aes-256-gcm or sm4-gcm (default aes-256-gcm); both are read
BUREAU_POLICY          what the bureau allows whatever is consented to (default: the shipped consent/policy.toml)
BUREAU_RETENTION       how long negative information is kept (default: the shipped bureau/retention.toml)
BUREAU_WITNESS_POLICY  who cosigns the log, and how many must (default: no one; a C2SP tlog-policy file)
BUREAU_PUBLIC_URL      the address clients know, and the OAuth2 issuer (default http://127.0.0.1:8000)
BUREAU_REQUIRE_TOTP    who must have a second factor: off, staff, everyone (default off; in production: staff)
BUREAU_TRUSTED_PROXIES networks whose X-Forwarded-For is believed, comma-separated CIDRs (default none)
BUREAU_OUTWARD_NETWORKS networks beside the public internet that webhooks may call into, as above (default none)
BUREAU_METRICS_TOKEN   who bears it may read /metrics (default: none; then only from this machine)
BUREAU_SCREENINGS_PER_DAY pages of screenings that each client may have a day (default 1000)
BUREAU_SCREENING_SOCKET where workers find the screening index open (`serve` sets it; default: each opens its own)
BUREAU_LOG_LEVEL       debug, info, warning, error (default info)
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from environs import Env, EnvError

from access import limits, networks
from access.networks import Network
from access.sessions import REQUIRING_TOTP
from kernel import ciphers, hsm
from kernel.errors import SettingError

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")  # what a bearer token may be (RFC 6750)
MOST_SCREENINGS = 1_000_000  # of a client and day
LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Settings:
    home: Path
    database_url: str
    migration_url: str
    root_key: Path | str  # a file, or a pkcs11: URI
    policy: Path | None
    public_url: str
    log_level: str
    require_totp: str = "off"
    cipher_suite: str = ciphers.AES_256_GCM.name
    retention: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    outward_networks: tuple[Network, ...] = ()
    witness_policy: Path | None = None
    metrics_token: str | None = field(default=None, repr=False)
    screening_socket: Path | None = None
    screenings_per_day: int = limits.SCREENINGS_PER_DAY

    @property
    def demo_mark(self) -> Path:
        """Stands while the demo city moves in; what is left of it tells of an interrupted move."""
        return self.home / "demo.moving-in"

    @property
    def run_folder(self) -> Path:
        """Sockets of the service while it runs (mode 0700)."""
        return self.home / "run"

    @property
    def log_folder(self) -> Path:
        """Where the log is published as files."""
        return self.home / "log"

    @property
    def feeds_folder(self) -> Path:
        """Where the operator's own feeds lie, one TOML file each."""
        return self.home / "feeds"

    @property
    def spool_folder(self) -> Path:
        """Where deliveries that come over a network lie while they are taken in (mode 0700)."""
        return self.home / "spool"

    @property
    def demo_file(self) -> Path:
        """Where the demo keeps its credentials (mode 0600)."""
        return self.home / "demo.json"


def secret(reference: str) -> str:
    """The secret that a feed names: `env:NAME` or `file:/path`, a file that nobody else may read.

    Raises SettingError naming the reference, never the secret.
    """
    kind, _, place = reference.partition(":")
    if kind == "env":
        if value := Env().str(place, ""):
            return value
        raise SettingError(f"{reference}: the variable is not set in the environment of this process")
    try:
        if Path(place).stat().st_mode & 0o077:
            raise SettingError(f"{reference}: can be read by others: run chmod 600 on it")
        return Path(place).read_text(encoding="utf-8").strip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{reference}: cannot be read") from error


def read() -> Settings:
    """The settings of this process; raises SettingError naming the variable that is wrong."""
    env = Env()
    try:
        home = Path(env.str("BUREAU_HOME", "") or "var").absolute()
        database_url = env.str("BUREAU_DATABASE_URL", "") or f"sqlite:///{home / 'bureau.db'}"
        settings = Settings(
            home=home,
            database_url=database_url,
            migration_url=env.str("BUREAU_MIGRATION_URL", "") or database_url,
            root_key=_root_key(env.str("BUREAU_ROOT_KEY", ""), home),
            policy=Path(env.str("BUREAU_POLICY")) if env.str("BUREAU_POLICY", "") else None,
            public_url=(env.str("BUREAU_PUBLIC_URL", "") or "http://127.0.0.1:8000").rstrip("/"),
            log_level=(env.str("BUREAU_LOG_LEVEL", "") or "info").lower(),
            cipher_suite=(env.str("BUREAU_CIPHER_SUITE", "") or ciphers.AES_256_GCM.name).lower(),
            retention=Path(env.str("BUREAU_RETENTION")) if env.str("BUREAU_RETENTION", "") else None,
            require_totp=(env.str("BUREAU_REQUIRE_TOTP", "") or "off").lower(),
            metrics_token=env.str("BUREAU_METRICS_TOKEN", "") or None,
            witness_policy=Path(env.str("BUREAU_WITNESS_POLICY")) if env.str("BUREAU_WITNESS_POLICY", "") else None,
            screening_socket=Path(named) if (named := env.str("BUREAU_SCREENING_SOCKET", "")) else None,
        )
    except EnvError as error:
        raise SettingError(str(error)) from error
    settings = replace(
        settings,
        trusted_proxies=_networks(env, "BUREAU_TRUSTED_PROXIES"),
        outward_networks=_networks(env, "BUREAU_OUTWARD_NETWORKS"),
        screenings_per_day=_screenings(env.str("BUREAU_SCREENINGS_PER_DAY", "")),
    )
    if not settings.public_url.startswith(("http://", "https://")):
        raise SettingError("BUREAU_PUBLIC_URL must begin with http:// or https://")
    if settings.log_level not in LEVELS:
        raise SettingError(f"BUREAU_LOG_LEVEL must be one of {', '.join(LEVELS)}")
    if settings.cipher_suite not in ciphers.BY_NAME:
        raise SettingError(f"BUREAU_CIPHER_SUITE must be one of {', '.join(ciphers.BY_NAME)}")
    if settings.metrics_token is not None and not _TOKEN.fullmatch(settings.metrics_token):
        raise SettingError("BUREAU_METRICS_TOKEN must be 16 to 256 of A-Z a-z 0-9 - . _ ~ + / =")
    if settings.require_totp not in REQUIRING_TOTP:
        raise SettingError(f"BUREAU_REQUIRE_TOTP must be one of {', '.join(REQUIRING_TOTP)}")
    return settings


def _networks(env: Env, name: str) -> tuple[Network, ...]:
    try:
        return networks.parse(env.str(name, ""))
    except ValueError as error:
        raise SettingError(f"{name}: {error}") from error


def _screenings(told: str) -> int:
    if not told:
        return limits.SCREENINGS_PER_DAY
    if not re.fullmatch(r"[0-9]{1,7}", told) or not 1 <= int(told) <= MOST_SCREENINGS:
        raise SettingError(f"BUREAU_SCREENINGS_PER_DAY must be 1 to {MOST_SCREENINGS}")
    return int(told)


def _root_key(told: str, home: Path) -> Path | str:
    return told if told.startswith(hsm.SCHEME) else Path(told or home / "keys" / "root.key")
