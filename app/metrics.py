# SPDX-License-Identifier: Apache-2.0
"""Figures for a Prometheus server, read from the database at each scrape, so that every worker tells the same.

They tell how busy the bureau is, not about whom. Read by whoever bears BUREAU_METRICS_TOKEN; where none is set, from
this machine only, and not through a proxy.
"""

import hmac
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version

from flask import Response, current_app, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Table, func, select

from access import networks
from audit import log, missed, sealing, trust, watch, witnessing
from audit.models import unsealed
from bureau import publications
from bureau.models import open_batch
from kernel import clock, db
from kernel.errors import NotPermitted, Unauthenticated
from kernel.web import Blueprint

blp = Blueprint("metrics", __name__, description="For the operator")
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


@blp.route("/metrics")
@blp.public
@blp.response(200, content_type=CONTENT_TYPE_LATEST)
def show_metrics() -> Response:
    """Figures in Prometheus's text format: for the operator, by token or from this machine (docs/operations.md)."""
    require_operator()
    return Response(generate_latest(_REGISTRY), content_type=CONTENT_TYPE_LATEST)


def require_operator() -> None:
    """Raise Unauthenticated without the token where one is set, else NotPermitted to callers of other machines."""
    token = current_app.config["BUREAU_METRICS_TOKEN"]
    if token is not None:
        offered = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(offered, f"Bearer {token}".encode()):
            raise Unauthenticated("the metrics are read with BUREAU_METRICS_TOKEN as a bearer token")
        return
    caller = networks.of_caller()
    if caller is None or not caller.is_loopback or any(name in request.headers for name in _FORWARDED):
        raise NotPermitted("the metrics are read from the bureau's own machine, or with a token: BUREAU_METRICS_TOKEN")


class _Figures(Collector):
    """What a scrape reads."""

    def collect(self) -> Iterator[Metric]:
        with db.reading() as reading:
            yield InfoMetricFamily("bureau", "The version that runs", {"version": version("credit-bureau")})
            yield from _trail(reading)
            yield from _witnesses(reading)
            yield _gauge("open_batches", "Deliveries that are being taken in", _count(reading, open_batch))
            yield _gauge("publication", "Number of the newest publication", publications.latest(reading))


def _trail(tx: Connection) -> Iterator[Metric]:
    head, oldest = log.head(tx), sealing.oldest_unsealed(tx)
    yield _gauge("log_size", "Leaves of the newest checkpoint", head.size if head else 0)
    yield _gauge("unsealed", "Entries that wait to be sealed", _count(tx, unsealed))
    yield _gauge("oldest_unsealed_age_seconds", "Since the entry that waits longest was appended", _age(oldest))
    told = "Times that the trail tells of entries deleted before they were sealed: all but 0 is an alarm"
    yield _gauge("entries_missed", told, missed.count(tx))
    if head is not None:
        yield _gauge("checkpoint_age_seconds", "Since the newest checkpoint was signed", _age(head.time))
    conditions = GaugeMetricFamily("bureau_condition_kept", "1 where questions may be answered", labels=["condition"])
    for each in watch.conditions(tx):
        conditions.add_metric([each.name], float(each.is_kept))
    yield conditions


def _witnesses(tx: Connection) -> Iterator[Metric]:
    policy = trust.current()
    if not policy.asks_for_cosignatures:
        return
    shown = log.shown(tx)
    yield _gauge("witnessed_size", "Leaves of the newest checkpoint that a quorum cosigned", shown.size if shown else 0)
    if shown is not None:
        yield _gauge("quorum_age_seconds", "Since a quorum last cosigned", _age(shown.time))
    ages = GaugeMetricFamily("bureau_witness_age_seconds", "Since this witness last cosigned", labels=["witness"])
    for each in policy.witnesses:
        if (last := witnessing.last_time(tx, each)) is not None:
            ages.add_metric([each.name.encode("utf-8", "replace").decode()], _age(last))
    yield ages


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"bureau_{name}", told, value)


def _age(instant: datetime | None) -> float:
    """Seconds since then; 0 where there is nothing."""
    return 0.0 if instant is None else max(0.0, (clock.now() - instant).total_seconds())


def _count(tx: Connection, table: Table) -> int:
    return tx.scalar(select(func.count()).select_from(table)) or 0


_REGISTRY = CollectorRegistry()
_REGISTRY.register(_Figures())
