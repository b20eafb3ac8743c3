# SPDX-License-Identifier: Apache-2.0
"""The city as a program of its own: `python -m app.city FOLDER ENTERPRISES` writes what its departments deliver.

Each file that is complete is told by a line on standard output: its feed, a tab, its path. A line on standard input
asks for one file more, so that it is never further ahead of its reader than that reader likes; it ends with them.
"""

import sys
from pathlib import Path

from app.city import firms
from app.city.files import write
from kernel.errors import SettingError


def main() -> int:
    """Write file by file as they are asked for. Returns an exit code; what is wrong stands on standard error."""
    folder, enterprises = Path(sys.argv[1]), int(sys.argv[2])
    files = write(list(firms(enterprises)), folder)
    try:
        for _ in sys.stdin:
            if (file := next(files, None)) is None:
                break
            sys.stdout.write(f"{file.feed}\t{file.path}\n")
            sys.stdout.flush()
    except SettingError as error:
        sys.stderr.write(f"{error.detail}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
