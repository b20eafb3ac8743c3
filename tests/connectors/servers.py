# SPDX-License-Identifier: Apache-2.0
"""Servers that feeds are pulled from, as processes of their own on the loopback: OpenSSH's sshd, and HTTPS."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.journeys.service import free_port

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass(frozen=True)
class Sshd:
    port: int
    folder: Path
    key: Path
    host_key: str
    user: str


@contextlib.contextmanager
def sshd(home: Path) -> Iterator[Sshd]:
    """A real sshd with internal-sftp, for the user who runs the tests and one key."""
    assert SSHD, "no sshd: scripts/tools.sh installs it"
    home.chmod(0o700)
    for name in ("host", "user", "stranger"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(home / name)]
        subprocess.run(command, check=True)
    folder, port = home / "drop", free_port()
    folder.mkdir()
    (home / "authorized").write_bytes((home / "user.pub").read_bytes())
    (home / "config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {home / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {home / 'authorized'}\nStrictModes no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own, where it drops its rights
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(home / "config")], stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        host_key = (home / "host.pub").read_text().strip()
        yield Sshd(port, folder, home / "user", host_key, os.environ.get("USER") or "root")
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Origin:
    """An HTTPS server: `folder` holds what it serves and `requests`, one line for each."""

    port: int
    folder: Path
    ca: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[str]:
        return (self.folder / "requests").read_text().splitlines()


@contextlib.contextmanager
def origin(home: Path) -> Iterator[Origin]:
    """A real HTTPS server with a certificate of its own (see PROGRAM for what it answers)."""
    certify(home)
    port = free_port()
    (home / "requests").touch()
    command = [sys.executable, "-c", PROGRAM, str(port), str(home)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield Origin(port, home, home / "cert.pem")
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        assert process.poll() is None, "the server ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")


def certify(home: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (home / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (home / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))


# /token gives "good" to client:secret; all else needs it. /file: the file with an ETag, /busy: 503 twice, then it;
# /away: to another origin, /here: to /file; /gone: 404; /cut: half of it; /pages, /cursor, /linked: of `rows.json`.
PROGRAM = """
import base64, http.server, json, ssl, sys, urllib.parse
from pathlib import Path
port, home = int(sys.argv[1]), Path(sys.argv[2])
busy = [0]

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def say(self, status, body=b"", **headers):
        self.send_response(status)
        for name, told in headers.items():
            self.send_header(name.replace("_", "-"), told)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def note(self):
        with (home / "requests").open("a") as file:
            file.write(f"{self.command} {self.path}\\n")
    def do_POST(self):
        self.note()
        form = self.rfile.read(int(self.headers["Content-Length"]))
        basic = "Basic " + base64.b64encode(b"client:secret").decode()
        if self.headers["Authorization"] != basic or b"grant_type=client_credentials" not in form:
            return self.say(401, b"{}")
        self.say(200, json.dumps({"access_token": "good", "token_type": "Bearer"}).encode())
    def do_GET(self):
        self.note()
        if self.headers["Authorization"] != "Bearer good":
            return self.say(401)
        parts = urllib.parse.urlsplit(self.path)
        asked = dict(urllib.parse.parse_qsl(parts.query))
        if parts.path == "/busy":
            busy[0] += 1
            if busy[0] < 3:
                return self.say(503, Retry_After="0")
        if parts.path in ("/file", "/busy"):
            body = (home / "file").read_bytes()
            etag = '"%d"' % len(body)
            if self.headers["If-None-Match"] == etag:
                return self.say(304)
            return self.say(200, body, ETag=etag)
        if parts.path == "/cut":
            body = (home / "file").read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        if parts.path == "/here":
            return self.say(302, Location="/file")
        if parts.path == "/away":
            return self.say(302, Location="https://localhost:%d/file" % port)
        rows = json.loads((home / "rows.json").read_text()) if (home / "rows.json").exists() else []
        if parts.path == "/pages":
            page = int(asked["page"])
            return self.say(200, json.dumps({"data": rows[(page - 1) * 2 : page * 2]}).encode())
        if parts.path == "/cursor":
            at, size = int(asked.get("after", "0")), int(asked.get("size", "2"))
            rest = str(at + size) if at + size < len(rows) else None
            return self.say(200, json.dumps({"data": rows[at : at + size], "next": rest}).encode())
        if parts.path == "/linked":
            at = int(asked.get("at", "0"))
            more = {"Link": '</linked?at=%d>; rel="next"' % (at + 2)} if at + 2 < len(rows) else {}
            return self.say(200, json.dumps(rows[at : at + 2]).encode(), **more)
        self.say(404)

server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(home / "cert.pem", home / "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
