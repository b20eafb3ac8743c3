# SPDX-License-Identifier: Apache-2.0
"""A token of SoftHSM in a folder of its own, made by its own tool. Without SoftHSM its tests fail, and say why.

The library reads where its tokens are once a process, so there is one token, and each test has a key of its own.
"""

import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

PIN = "739155"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
MODULE = next((module for module in MODULES if Path(module).exists()), MODULES[0])
_numbers = itertools.count(1)


def new_uri(folder: Path) -> str:
    """The URI of a key that is not made yet, its PIN in that folder."""
    _token()
    pin = folder / "pin"
    pin.write_text(PIN + "\n")
    pin.chmod(0o600)
    return f"pkcs11:token=bureau;object=root-{next(_numbers)}?module-path={MODULE}&pin-source={pin}"


@cache
def _token() -> None:
    folder = Path(tempfile.mkdtemp(prefix="softhsm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    asked = ["--init-token", "--free", "--label", "bureau", "--so-pin", "so-739155", "--pin", PIN]
    subprocess.run(["softhsm2-util", *asked], check=True, capture_output=True)
