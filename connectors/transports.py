# SPDX-License-Identifier: Apache-2.0
"""How a feed's deliveries are fetched: the table `[transport]` of its TOML, checked. Without it they are brought.

    kind = "sftp"       files dropped into a folder
    kind = "https"      a file or pages of rows behind a URL
    kind = "database"   rows of a front-end database (前置机), newer than those fetched before

Secrets stand in no feed: `env:NAME` names a variable of the environment, `file:PATH` a file of mode 0600.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from connectors.declarations import choice, leave_nothing, number, take
from kernel.errors import SettingError

PAGING = frozenset({"none", "link", "cursor", "page"})
HOST_KEYS = frozenset({"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"})
_SECRET = re.compile(r"env:[A-Z][A-Z0-9_]*|file:/.+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Sftp:
    """`done` is a suffix: NAME is whole once NAME+done lies beside it. Without it, once untouched for `settled_s`."""

    host: str
    port: int
    user: str
    private_key: str
    host_key: str
    folder: str
    pattern: str
    done: str
    settled_s: int
    files: int
    delete: bool


@dataclass(frozen=True, slots=True)
class Https:
    """`rows` names the member of a page's object that lists the rows; empty: the page is the list.

    `parameter` and `member` are those of the cursor (its query parameter and its member of the page) or of the page's
    number. `ca` is a file of certificates to trust in place of the system's.
    """

    url: str
    paging: str
    rows: str
    parameter: str
    member: str
    pages: int
    token_url: str
    client_id: str
    client_secret: str
    scope: str
    ca: str


@dataclass(frozen=True, slots=True)
class Database:
    """Rows of `table`, in the order of `watermark` and `key`, at most `rows` a pull.

    `settled_s` leaves out rows whose watermark (a moment) is younger: one committed late would be passed over.
    """

    url: str
    table: str
    watermark: str
    key: str
    rows: int
    settled_s: int


Transport = Sftp | Https | Database


def declared(table: dict[str, Any], where: str, format_: str) -> Transport | None:
    """Take `[transport]` out of a feed's table."""
    if not (part := take(table, where, "transport", dict, {})):
        return None
    where = f"{where}transport."
    transport = _KINDS[choice(part, where, "kind", _KINDS)](part, where)
    leave_nothing(part, where)
    pages = isinstance(transport, Database) or (isinstance(transport, Https) and transport.paging != "none")
    if pages and format_ != "jsonl":
        raise SettingError(f'{where}kind: rows that come as such are read as format = "jsonl"')
    return transport


def _sftp(part: dict[str, Any], where: str) -> Sftp:
    host_key = take(part, where, "host_key", str)
    kind, _, encoded = host_key.partition(" ")
    try:
        base64.b64decode(encoded.partition(" ")[0], validate=True)
    except binascii.Error:
        kind = ""
    if kind not in HOST_KEYS or not encoded:
        raise SettingError(f"{where}host_key: expected the server's public key, `ssh-ed25519 AAAA…`")
    done = take(part, where, "done", str, "")
    return Sftp(
        host=_text(part, where, "host"),
        port=number(part, where, "port", 1, 65_535, 22),
        user=_text(part, where, "user"),
        private_key=_secret(part, where, "private_key"),
        host_key=host_key,
        folder=_text(part, where, "folder"),
        pattern=_text(part, where, "pattern"),
        done=done,
        settled_s=number(part, where, "settled_s", 0, 86_400, 0 if done else 60),
        files=number(part, where, "files", 1, 10_000),
        delete=take(part, where, "delete", bool, False),
    )


def _https(part: dict[str, Any], where: str) -> Https:
    paging = choice(part, where, "paging", PAGING, "none")
    token_url = _url(part, where, "token_url") if "token_url" in part else ""
    return Https(
        url=_url(part, where, "url"),
        paging=paging,
        rows=take(part, where, "rows", str, ""),
        parameter=_text(part, where, "parameter") if paging in {"cursor", "page"} else "",
        member=_text(part, where, "member") if paging == "cursor" else "",
        pages=number(part, where, "pages", 1, 1_000_000) if paging != "none" else 1,
        token_url=token_url,
        client_id=_text(part, where, "client_id") if token_url else "",
        client_secret=_secret(part, where, "client_secret") if token_url else "",
        scope=take(part, where, "scope", str, ""),
        ca=take(part, where, "ca", str, ""),
    )


def _database(part: dict[str, Any], where: str) -> Database:
    return Database(
        url=_secret(part, where, "url"),
        table=_word(part, where, "table"),
        watermark=_word(part, where, "watermark"),
        key=_word(part, where, "key"),
        rows=number(part, where, "rows", 1, 10_000_000),
        settled_s=number(part, where, "settled_s", 0, 86_400, 300),
    )


def _text(part: dict[str, Any], where: str, key: str) -> str:
    if not (value := take(part, where, key, str)).strip():
        raise SettingError(f"{where}{key}: is empty")
    return value


def _word(part: dict[str, Any], where: str, key: str) -> str:
    if not _NAME.fullmatch(value := take(part, where, key, str)):
        raise SettingError(f"{where}{key}: expected a name of letters, digits and _, found {value!r}")
    return value


def _secret(part: dict[str, Any], where: str, key: str) -> str:
    if not _SECRET.fullmatch(value := take(part, where, key, str)):
        raise SettingError(f"{where}{key}: expected env:NAME or file:/path; a secret itself never stands here")
    return value


def _url(part: dict[str, Any], where: str, key: str) -> str:
    value = take(part, where, key, str)
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None or parts.fragment:
        raise SettingError(f"{where}{key}: expected https://…, without user, password or fragment")
    return value


_KINDS: dict[str, Callable[[dict[str, Any], str], Transport]] = {"sftp": _sftp, "https": _https, "database": _database}
