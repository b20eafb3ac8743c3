# SPDX-License-Identifier: Apache-2.0
"""SFTP pull: files dropped into a folder, of a server whose key is pinned, fetched once they are whole.

A file is whole once its done-marker lies beside it or it has been left alone for a while, and it must be the same
after it was read as before. What was taken is known by name, size and time, and by its digest if it comes again
under another name; nothing is deleted unless the feed says so.
"""

import base64
import fnmatch
import io
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
from sqlalchemy import Connection

from connectors import memory, spool
from connectors.feeds import Feed
from connectors.fetched import Beat, Fetched, Reveal
from connectors.transports import Sftp
from kernel import db
from kernel.errors import SettingError, TooLarge, Unavailable

MOST_LISTED = 20_000
WITHIN_S = 30.0  # to connect, and for each answer
_KEYS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}


def fetch(feed: Feed, transport: Sftp, reveal: Reveal, beat: Beat) -> Iterator[Fetched]:
    """The whole new files, the oldest first, at most as many as the feed allows in one pull.

    Raises Unavailable where the server cannot be reached or is not the pinned one, SettingError for the secret.
    """
    with db.reading() as reading:
        seen = memory.seen_files(reading, feed.feed)
    with _session(transport, reveal) as client:
        found = [one for one in _whole(client, transport) if seen.get(_name(one)) != _state(one)]
        for one in found[: transport.files]:
            yield from _fetch_one(client, feed, transport, one, beat)


def _fetch_one(
    client: paramiko.SFTPClient, feed: Feed, transport: Sftp, one: paramiko.SFTPAttributes, beat: Beat
) -> Iterator[Fetched]:
    name, (size, modified) = _name(one), _state(one)
    place = f"{transport.folder}/{name}"

    def remember(tx: Connection, batch: str | None, problem: str | None) -> None:
        memory.note_file(tx, feed.feed, name, size, modified, batch, problem)

    limit = feed.layout.limits.packed_bytes
    if size > limit:
        with db.transaction() as tx:
            remember(tx, None, f"{name}: {size:,} bytes, above the feed's {limit:,}; split the file")
        raise TooLarge(f"{name}: {size:,} bytes, above the feed's {limit:,}; split the file")
    with spool.spooled(name, limit, beat) as file:
        client.getfo(place, file, prefetch=True, max_concurrent_prefetch_requests=64)
        after = client.stat(place)
        if (after.st_size, after.st_mtime) != (size, modified) or file.size != size:
            return  # still being written: the next pull looks again
        fetched = Fetched(file.done(), remember)
        yield fetched
    if fetched.taken and transport.delete:
        client.remove(place)
        if transport.done:
            client.remove(place + transport.done)


def _whole(client: paramiko.SFTPClient, transport: Sftp) -> list[paramiko.SFTPAttributes]:
    listed: dict[str, paramiko.SFTPAttributes] = {}
    for one in client.listdir_iter(transport.folder):
        if len(listed) >= MOST_LISTED:
            raise Unavailable(f"{transport.folder}: more than {MOST_LISTED:,} files; clear away what was taken")
        listed[_name(one)] = one
    settled = time.time() - transport.settled_s
    whole = [
        one
        for name, one in listed.items()
        if stat.S_ISREG(one.st_mode or 0)
        and fnmatch.fnmatchcase(name, transport.pattern)
        and len(name) <= 255
        and (name + transport.done in listed if transport.done else True)
        and _state(one)[1] <= settled
    ]
    return sorted(whole, key=lambda one: (_state(one)[1], _name(one)))


@contextmanager
def _session(transport: Sftp, reveal: Reveal) -> Iterator[paramiko.SFTPClient]:
    key = _private_key(reveal(transport.private_key), transport.private_key)
    where = f"sftp {transport.host}:{transport.port}"
    try:
        connection = paramiko.Transport(socket.create_connection((transport.host, transport.port), WITHIN_S))
    except OSError as error:
        raise Unavailable(f"{where}: cannot be reached: {error.strerror or type(error).__name__}") from error
    try:
        kind, _, encoded = transport.host_key.partition(" ")
        connection.get_security_options().key_types = _SIGNATURES.get(kind, (kind,))
        connection.start_client(timeout=WITHIN_S)
        if connection.get_remote_server_key().asbytes() != base64.b64decode(encoded.partition(" ")[0]):
            raise Unavailable(f"{where}: shows another host key than the feed's: ask its operator before you change it")
        connection.auth_publickey(transport.user, key)
        client = paramiko.SFTPClient.from_transport(connection)
        if client is None:
            raise Unavailable(f"{where}: gave no session")
        client.get_channel().settimeout(WITHIN_S)
        yield client
    except paramiko.AuthenticationException as error:
        raise Unavailable(f"{where}: does not accept the key of user {transport.user}") from error
    except (paramiko.SSHException, EOFError, TimeoutError) as error:
        raise Unavailable(f"{where}: broke off: {type(error).__name__}; is its host key the feed's?") from error
    except OSError as error:
        raise Unavailable(f"{where}: {error.strerror or error}") from error
    finally:
        connection.close()


def _private_key(text: str, reference: str) -> paramiko.PKey:
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(text))
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise SettingError(f"{reference} is no private key in OpenSSH's format without a passphrase")


def _name(one: paramiko.SFTPAttributes) -> str:
    return str(one.filename)


def _state(one: paramiko.SFTPAttributes) -> tuple[int, int]:
    return one.st_size or 0, one.st_mtime or 0
