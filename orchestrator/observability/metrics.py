"""The metrics for Prometheus. Counters live in each process and are added up; gauges are read from the store.

Import this only after `shared.prepare`: the library decides at its import whether processes share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAGS = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)

PINGS = Counter("orchestrator_pings", "Pings by verdict.", ["provider", "verdict"])
PING_SECONDS = Histogram("orchestrator_ping_seconds", "How long pings took.", ["provider"], buckets=_SECONDS)
STOPS = Counter("orchestrator_stops", "Sessions that ended, by reason.", ["reason"])
JOBS = Counter("orchestrator_jobs", "Jobs by outcome: ok, or the error's code.", ["name", "outcome"])
RECONCILED = Counter(
    "orchestrator_reconciled", "What lists of providers led to: adopt, close, end.", ["provider", "kind"]
)
STORE_RETRIES = Counter(
    "orchestrator_store_retries", "Transactions run again: deadlocks, lost races and the like.", ["cause"]
)
STORE_GIVEN_UP = Counter(
    "orchestrator_store_given_up",
    "Transactions that failed on the last attempt too: the job or tick repeats.",
    ["cause"],
)
LOCAL_FAULTS = Counter(
    "orchestrator_local_faults", "Calls that failed on this machine, before a byte left it.", ["kind"]
)
MESSAGES_REFUSED = Counter(
    "orchestrator_messages_refused", "Messages that could not be carried out and were parked.", ["queue"]
)
MESSAGES_DROPPED = Counter(
    "orchestrator_messages_dropped", "Parked messages that were dropped because newer ones came."
)
CLOSE_LAG = Histogram(
    "orchestrator_close_lag_seconds", "From the stop's instant to the proof of the close.", buckets=_LAGS
)


@dataclass(frozen=True, kw_only=True)
class StoreReading:
    """What the store says now."""

    now: datetime
    sessions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(state, provider) → sessions."""
    oldest_due: Mapping[str, datetime] = field(default_factory=dict)
    unproven: int = 0
    """Closes without proof, and orphans that are not closed."""
    at_risk: Mapping[str, Decimal] = field(default_factory=dict)
    forced: int = 0
    possible_orphans: Mapping[str, int] = field(default_factory=dict)
    """Provider → opens after which more may live there than is known, at most 100 in all."""
    braked: Mapping[str, bool] = field(default_factory=dict)
    parked: Mapping[str, int] = field(default_factory=dict)
    """Queue → messages that wait for an operator."""
    clock_ahead: float = 0.0
    """Seconds by which the store's clock has jumped; 0 where it agrees with the measured time."""
    last_tick: datetime | None = None
    """When the broker last accepted a wake-up of a scheduler."""
    clock_offsets: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    """(kind, host, pid) → seconds by which that process's clock is ahead of the store's."""
    oldest_job: datetime | None = None
    """When the oldest job came of which the outcome is kept."""
    retention_lags: Mapping[str, float] = field(default_factory=dict)
    """What is kept for a time → seconds by which the oldest is kept too long."""
    audit: Mapping[str, int] = field(default_factory=dict)
    """Check → violations that stand."""
    last_audit: datetime | None = None


class StoreCollector(Collector):
    """Reads the store at each scrape."""

    def __init__(self, read: Callable[[], StoreReading]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that nothing is read before the first scrape."""
        return []

    def collect(self) -> Iterable[Metric]:
        reading = self._read()
        yield from self._of_work(reading)
        yield from self._of_surroundings(reading)
        yield from self._of_history(reading)

    @staticmethod
    def _of_work(reading: StoreReading) -> Iterable[Metric]:
        overdue = {
            step: max(0.0, (reading.now - at).total_seconds()) for step, at in reading.oldest_due.items()
        }
        yield _gauge("orchestrator_sessions", "Sessions.", ["state", "provider"], reading.sessions)
        yield _gauge("orchestrator_oldest_overdue_seconds", "The step most overdue.", ["step"], overdue)
        yield _gauge("orchestrator_unproven_closes", "Closes without proof.", [], {(): reading.unproven})
        yield _gauge(
            "orchestrator_money_at_risk",
            "What these and possible orphans may cost.",
            ["currency"],
            reading.at_risk,
        )
        yield _gauge("orchestrator_forced_closes", "Closes forced without proof.", [], {(): reading.forced})
        yield _gauge(
            "orchestrator_possible_orphans",
            "Sessions that opens may have left unknown.",
            ["provider"],
            reading.possible_orphans,
        )

    @staticmethod
    def _of_surroundings(reading: StoreReading) -> Iterable[Metric]:
        yield _gauge(
            "orchestrator_provider_braked", "1: deaths are frozen there.", ["provider"], reading.braked
        )
        yield _gauge("orchestrator_messages_parked", "Healthy is 0.", ["queue"], reading.parked)
        yield _gauge(
            "orchestrator_worker_clock_offset_seconds",
            "A process's clock minus the store's.",
            ["kind", "host", "pid"],
            reading.clock_offsets,
        )
        yield _gauge(
            "orchestrator_clock_jump_seconds",
            "How far the store's clock is ahead of the measured time; healthy is 0.",
            [],
            {(): reading.clock_ahead},
        )

    @staticmethod
    def _of_history(reading: StoreReading) -> Iterable[Metric]:
        oldest = reading.oldest_job or reading.now
        age = max(0.0, (reading.now - oldest).total_seconds())
        yield _gauge("orchestrator_inbox_oldest_seconds", "Age of the oldest job kept.", [], {(): age})
        yield _gauge(
            "orchestrator_retention_lag_seconds",
            "By how much the oldest is kept too long; healthy is below a day.",
            ["of"],
            reading.retention_lags,
        )
        yield _gauge("orchestrator_audit_violations", "Healthy is 0.", ["check"], reading.audit)
        for name, help_text, at in (
            ("scheduler_last_tick", "When the broker last accepted a wake-up.", reading.last_tick),
            ("audit_last_run", "When the audit last ran.", reading.last_audit),
        ):
            if at is not None:
                yield _gauge(f"orchestrator_{name}_timestamp_seconds", help_text, [], {(): at.timestamp()})


def serve(host: str, port: int, read: Callable[[], StoreReading], *, shared: bool) -> None:
    """Serve in a thread of its own. `shared`: add up the counters of every process. Raises OSError."""
    registry = CollectorRegistry()
    if shared:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        counters = (PINGS, STOPS, JOBS, RECONCILED, STORE_RETRIES, STORE_GIVEN_UP, LOCAL_FAULTS)
        of_messages = (MESSAGES_REFUSED, MESSAGES_DROPPED)
        for metric in (*counters, *of_messages, PING_SECONDS, CLOSE_LAG):
            registry.register(metric)
    registry.register(StoreCollector(read))
    start_http_server(port, addr=host, registry=registry)


def _gauge(
    name: str,
    help_text: str,
    labels: list[str],
    values: Mapping[Any, float | Decimal],
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for key, value in values.items():
        family.add_metric([key] if isinstance(key, str) else list(key), float(value))
    return family
