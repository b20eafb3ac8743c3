# SPDX-License-Identifier: Apache-2.0
"""`python -m app.cli`: the command, for the processes that `bureau serve` starts."""

from app.cli import main

main()
