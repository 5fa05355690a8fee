"""What is counted and timed, and `/metrics` for Prometheus.

Every process of a host writes into one folder (`config.share_metrics`), so that any web process can tell for all of
them. Labels come from fixed tables only: a name somebody sends never becomes one.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from flask import Flask, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily

from config import metrics_folder

QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10)
LONG = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

CALLBACKS = Counter("opsplatform_dingtalk_callbacks", "Events pushed to us, by what became of them.", ["outcome"])
CALLBACK_SECONDS = Histogram("opsplatform_dingtalk_callback_seconds", "Time to answer a pushed event.", buckets=QUICK)
RPC_SECONDS = Histogram("opsplatform_rpc_seconds", "Time of a call.", ["method", "code"], buckets=QUICK)
WAIT_SECONDS = Histogram("opsplatform_queue_wait_seconds", "From the wake-up to the start.", ["task"], buckets=LONG)
TASK_SECONDS = Histogram("opsplatform_task_seconds", "Time of a task.", ["task", "outcome"], buckets=LONG)
RUN_SECONDS = Histogram("opsplatform_terraform_seconds", "Time of a plan or apply.", ["step", "outcome"], buckets=LONG)
SETTLE_SECONDS = Histogram("opsplatform_settle_seconds", "To end a run whose worker died.", buckets=LONG)
UPSTREAM_SECONDS = Histogram("opsplatform_upstream_seconds", "Calls to others.", ["system", "outcome"], buckets=QUICK)


@contextmanager
def timed(histogram: Histogram, *labels: str) -> Iterator[None]:
    """Time a block with these labels and its outcome: `ok`, or `error` when an exception leaves it."""
    begun = time.perf_counter()
    outcome = "error"
    try:
        yield
        outcome = "ok"
    finally:
        histogram.labels(*labels, outcome).observe(time.perf_counter() - begun)


class Backlog:
    """Numbers that are read from the database when somebody asks, by status."""

    def __init__(self, name: str, text: str, numbers: Callable[[], Mapping[str, int]]) -> None:
        self._name, self._text, self._numbers = name, text, numbers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What stands there now."""
        family = GaugeMetricFamily(self._name, self._text, labels=["status"])
        for status, number in self._numbers().items():
            family.add_metric([status], number)
        yield family


def register(app: Flask, backlogs: Sequence[Backlog]) -> None:
    """Add the route."""

    def metrics() -> Response:
        counted = REGISTRY
        if metrics_folder() is not None:
            counted = CollectorRegistry()
            multiprocess.MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
        standing = CollectorRegistry()
        for backlog in backlogs:
            standing.register(backlog)
        return Response(generate_latest(counted) + generate_latest(standing), content_type=CONTENT_TYPE_LATEST)

    app.add_url_rule("/metrics", "metrics", metrics, methods=["GET"])
