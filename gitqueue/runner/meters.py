"""What an operator's monitoring reads: counts and times of the queue, by Prometheus's own library, on the loopback.

No job, person or data set is named: whoever is on the machine may read it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitqueue.errors import OperatorNeeded
from gitqueue.refs import JobId
from gitqueue.rules.lifecycle import OPEN, Reason, State

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily

LOOPBACK = "127.0.0.1"
SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)


class Meters:
    """What nobody reads."""

    def waited(self, seconds: float) -> None:
        """From an approval to its claim."""

    def ended(self, state: State, reason: Reason | None, seconds: float) -> None:
        """A run, and how long it took."""

    def alarmed(self) -> None:
        """Something was found that a person must mend."""


class Prometheus(Meters):
    """Read by scraping. `stands`: the open jobs, as the runner knows them."""

    def __init__(self, registry: "CollectorRegistry", stands: Mapping[JobId, State]) -> None:
        from prometheus_client import Counter as Count
        from prometheus_client import Histogram, ProcessCollector

        ProcessCollector(registry=registry)
        registry.register(_Queue(stands))
        self._waits = Histogram("gitqueue_wait_seconds", "From approval to start.", buckets=SECONDS, registry=registry)
        self._runs = Histogram("gitqueue_run_seconds", "Time that runs took.", buckets=SECONDS, registry=registry)
        self._ends = Count("gitqueue_runs", "Runs, by their end.", ("state", "reason"), registry=registry)
        self._alarms = Count("gitqueue_alarms", "What a person must look at.", registry=registry)

    def waited(self, seconds: float) -> None:
        self._waits.observe(max(0.0, seconds))

    def ended(self, state: State, reason: Reason | None, seconds: float) -> None:
        self._ends.labels(str(state), str(reason or "")).inc()
        self._runs.observe(seconds)

    def alarmed(self) -> None:
        self._alarms.inc()


class _Queue:
    """Counted when somebody looks, so that it costs nothing otherwise."""

    def __init__(self, stands: Mapping[JobId, State]) -> None:
        self._stands = stands

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        from prometheus_client.core import GaugeMetricFamily

        found = GaugeMetricFamily("gitqueue_jobs", "Open jobs, by state.", labels=("state",))
        counted = Counter(list(self._stands.values()))
        for state in (one for one in State if one in OPEN):
            found.add_metric((str(state),), counted[state])
        yield found


@contextmanager
def metered(port: int | None, stands: Mapping[JobId, State]) -> Iterator[Meters]:
    """The runner's meters, to be read on this port of the loopback; None: by nobody."""
    if port is None:
        yield Meters()
        return
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    try:
        server, thread = start_http_server(port, LOOPBACK, registry)
    except OSError as error:
        raise OperatorNeeded(
            f"the metrics cannot be offered on port {port}: {error.strerror}", step="another `metrics` in runner.yaml"
        ) from error
    try:
        yield Prometheus(registry, stands)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
