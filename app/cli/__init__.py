# SPDX-License-Identifier: Apache-2.0
"""The command `bureau`: the bureau's own counter. Importing the modules below is what registers their commands."""

from app.cli import consents, parties, people, service, sources, switches
from app.commands import main

__all__ = ["consents", "main", "parties", "people", "service", "sources", "switches"]
