#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Brings what only tests and benchmarks need, and does nothing where it is there. Run by `make test` and `make bench`.
#   1. Debian's packages: installed as root, else named      2. clients from npm, by the lock, no scripts run
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "tools: $*" >&2; }
stop() { say "$*"; exit 1; }

missing=
need() { # need FILE PACKAGE…: the packages that bring it
    file=$1
    shift
    if [ ! -e "$file" ] && ! command -v "$file" >/dev/null; then missing="$missing $*"; fi
}

need chromium chromium                                    # the pages, seen as people see them
need /usr/share/fonts/truetype/wqy/wqy-microhei.ttc fonts-wqy-microhei
need /usr/sbin/sshd openssh-server                        # a department's SFTP server
need /usr/lib/openssh/sftp-server openssh-sftp-server
need softhsm2-util softhsm2                               # a root key in an HSM
need go golang-go                                         # Go's own sumdb reads our checkpoints
need /usr/share/gocode/src/golang.org/x/mod/sumdb golang-golang-x-mod-dev
need openssl openssl                                      # the examples of docs/oauth-profile.md
need node nodejs
need npm npm

if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        stop "the tests need:$missing (on Debian, as root: apt-get install$missing), then run this again"
    fi
    say "installing the Debian packages$missing"
    apt-get update -qq </dev/null >&2 || say "the package lists are as old as they were"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing </dev/null >&2 ||
        stop "could not install:$missing"
fi

clients=tests/clients
if [ -f $clients/package-lock.json ]; then
    state=$(cat $clients/package.json $clients/package-lock.json | cksum)
    if [ "$(cat $clients/node_modules/.state 2>/dev/null)" != "$state" ]; then
        say "installing what $clients/package-lock.json lists"
        (cd $clients && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >&2)
        printf '%s\n' "$state" >$clients/node_modules/.state
    fi
fi
