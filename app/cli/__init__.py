# SPDX-License-Identifier: Apache-2.0
"""The command `bureau`: the bureau's own counter. The module of a command is imported when the command is called:
nobody waits for what he does not use."""

from app.commands import main

PLACES = {
    "collecting": ("collect",),
    "consents": ("consent", "query"),
    "coverage": ("coverage",),
    "document": ("openapi",),
    "feeds": ("feed",),
    "findings": ("findings",),
    "keeping": ("compact", "rekey", "shred"),
    "log": ("log",),
    "log_keys": ("log-key",),
    "making": ("demo", "init", "up", "upgrade"),
    "parties": ("client", "institution"),
    "people": ("person",),
    "reconcile": ("reconcile",),
    "records": ("record",),
    "rejects": ("quality", "rejects"),
    "rewards": ("rewards",),
    "screening": ("index",),
    "serving": ("screener", "serve", "worker"),
    "sources": ("source",),
    "switches": ("start", "stop", "stops"),
    "trail": ("export", "seal", "sealer", "verify"),
    "webhooks": ("messenger", "webhooks"),
    "witness": ("witness",),
}
main.places = {name: f"app.cli.{module}" for module, names in PLACES.items() for name in names}

__all__ = ["PLACES", "main"]
