"""The gauges for Prometheus: one table of them, filled from the store at each scrape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: Values of labels → number; one text if there is one label.
Samples = Mapping[Any, float | Decimal]


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
    provider_alarms: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(provider, kind) → alarms that are open."""
    installation_alarms: Mapping[str, int] = field(default_factory=dict)
    """Kind → alarms that are open."""
    parked: Mapping[str, int] = field(default_factory=dict)
    """Queue → messages that wait for an operator."""
    clock_ahead: float = 0.0
    """Seconds by which the store's clock has jumped; 0 where it agrees with the measured time."""
    processes: Mapping[str, int] = field(default_factory=dict)
    """Kind → processes that have reported recently."""
    deaths: Mapping[str, int] = field(default_factory=dict)
    """Kind → processes that died within ten minutes."""
    last_tick: datetime | None = None
    """When the broker last accepted a wake-up of a scheduler."""
    clock_offsets: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    """(kind, host, pid) → seconds by which that process's clock is ahead of the store's."""
    webhook_oldest: Mapping[str, datetime] = field(default_factory=dict)
    """Webhook → the time of the oldest event that has not arrived there; now where none waits."""
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    """Webhook → events that were given up."""
    oldest_job: datetime | None = None
    """When the oldest job came of which the outcome is kept."""
    retention_lags: Mapping[str, float] = field(default_factory=dict)
    """What is kept for a time → seconds by which the oldest is kept too long."""
    audit: Mapping[str, int] = field(default_factory=dict)
    """Check → violations that stand."""
    last_audit: datetime | None = None

    def age_of(self, at: datetime) -> float:
        """Return how many seconds ago that was; 0 where it has not come."""
        return max(0.0, (self.now - at).total_seconds())

    def ages_of(self, instants: Mapping[str, datetime]) -> dict[str, float]:
        """Return how many seconds ago each was."""
        return {key: self.age_of(at) for key, at in instants.items()}


@dataclass(frozen=True, kw_only=True)
class StoreGauge:
    """One gauge: its name, its labels, what it means, and how it is read."""

    name: str
    meaning: str
    labels: Sequence[str] = ()
    samples: Callable[[StoreReading], Samples]

    def family(self, reading: StoreReading) -> GaugeMetricFamily:
        """Return it with the values of this reading."""
        family = GaugeMetricFamily(self.name, self.meaning, labels=list(self.labels))
        for key, value in self.samples(reading).items():
            family.add_metric([key] if isinstance(key, str) else list(key), float(value))
        return family


def _instant(at: datetime | None) -> Samples:
    return {} if at is None else {(): at.timestamp()}


#: 1 or 0 at each scrape, also where all others are absent.
DATABASE_UP = "orchestrator_database_up"
_DATABASE_UP = (
    "1 where this process could read the database at this scrape, else 0; the gauges below are absent then."
)

GAUGES: Sequence[StoreGauge] = (
    StoreGauge(
        name="orchestrator_sessions",
        meaning="Sessions that are not deleted, by state. The provider is empty before a session is placed.",
        labels=("state", "provider"),
        samples=lambda reading: reading.sessions,
    ),
    StoreGauge(
        name="orchestrator_oldest_overdue_seconds",
        meaning="How long the row that waits longest for each step has been due; 0 where none waits.",
        labels=("step",),
        samples=lambda reading: reading.ages_of(reading.oldest_due),
    ),
    StoreGauge(
        name="orchestrator_unproven_closes",
        meaning="Closes without proof, and orphans that are not closed.",
        samples=lambda reading: {(): reading.unproven},
    ),
    StoreGauge(
        name="orchestrator_money_at_risk",
        meaning="What unproven closes and possible orphans may have cost by now.",
        labels=("currency",),
        samples=lambda reading: reading.at_risk,
    ),
    StoreGauge(
        name="orchestrator_forced_closes",
        meaning="Closes that an operator forced without proof.",
        samples=lambda reading: {(): reading.forced},
    ),
    StoreGauge(
        name="orchestrator_possible_orphans",
        meaning="Sessions that opens with an unknown outcome may have left at a provider.",
        labels=("provider",),
        samples=lambda reading: reading.possible_orphans,
    ),
    StoreGauge(
        name="orchestrator_provider_braked",
        meaning="1 while deaths are frozen at this provider or under one of its keys, else 0.",
        labels=("provider",),
        samples=lambda reading: reading.braked,
    ),
    StoreGauge(
        name="orchestrator_provider_alarms",
        meaning="Open alarms about a provider, its keys and models, by kind, named like their events.",
        labels=("provider", "kind"),
        samples=lambda reading: reading.provider_alarms,
    ),
    StoreGauge(
        name="orchestrator_installation_alarms",
        meaning="Open alarms about the installation, by kind, named like their events.",
        labels=("kind",),
        samples=lambda reading: reading.installation_alarms,
    ),
    StoreGauge(
        name="orchestrator_messages_parked",
        meaning="Messages that could not be carried out and wait for an operator; healthy is 0.",
        labels=("queue",),
        samples=lambda reading: reading.parked,
    ),
    StoreGauge(
        name="orchestrator_processes",
        meaning="Processes of each kind that have reported within 15 s.",
        labels=("kind",),
        samples=lambda reading: reading.processes,
    ),
    StoreGauge(
        name="orchestrator_process_deaths",
        meaning="Processes of each kind that stopped reporting within ten minutes, and did not leave in order.",
        labels=("kind",),
        samples=lambda reading: reading.deaths,
    ),
    StoreGauge(
        name="orchestrator_worker_clock_offset_seconds",
        meaning="The clock of a process minus the store's.",
        labels=("kind", "host", "pid"),
        samples=lambda reading: reading.clock_offsets,
    ),
    StoreGauge(
        name="orchestrator_clock_jump_seconds",
        meaning="How far the store's clock is ahead of the measured time; healthy is 0.",
        samples=lambda reading: {(): reading.clock_ahead},
    ),
    StoreGauge(
        name="orchestrator_scheduler_last_tick_timestamp_seconds",
        meaning="When the broker last accepted a scheduler's wake-up. Absent if it never did, or not in ten minutes.",
        samples=lambda reading: _instant(reading.last_tick),
    ),
    StoreGauge(
        name="orchestrator_webhook_oldest_undelivered_seconds",
        meaning="Age of the oldest event that has not arrived at this webhook; 0 where none waits.",
        labels=("webhook",),
        samples=lambda reading: reading.ages_of(reading.webhook_oldest),
    ),
    StoreGauge(
        name="orchestrator_webhook_dead_letters",
        meaning="Events for this webhook that were given up and not replayed.",
        labels=("webhook",),
        samples=lambda reading: reading.dead_letters,
    ),
    StoreGauge(
        name="orchestrator_inbox_oldest_seconds",
        meaning="Age of the oldest job with a stored outcome.",
        samples=lambda reading: {(): reading.age_of(reading.oldest_job or reading.now)},
    ),
    StoreGauge(
        name="orchestrator_retention_lag_seconds",
        meaning="By how much the oldest row of each kind is kept too long; healthy is below a day.",
        labels=("of",),
        samples=lambda reading: reading.retention_lags,
    ),
    StoreGauge(
        name="orchestrator_audit_violations",
        meaning="Open violations by check of the audit; healthy is 0.",
        labels=("check",),
        samples=lambda reading: reading.audit,
    ),
    StoreGauge(
        name="orchestrator_audit_last_run_timestamp_seconds",
        meaning="When the audit last ran. Absent until then.",
        samples=lambda reading: _instant(reading.last_audit),
    ),
)


class StoreCollector(Collector):
    """Reads the store at each scrape."""

    def __init__(self, read: Callable[[], StoreReading | None]) -> None:
        """`read`: returns None if the store cannot be read."""
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that nothing is read before the first scrape."""
        return []

    def collect(self) -> Iterable[Metric]:
        reading = self._read()
        yield database_up(is_up=reading is not None)
        if reading is not None:
            families = (gauge.family(reading) for gauge in GAUGES)
            yield from (family for family in families if family.samples)


def database_up(*, is_up: bool) -> GaugeMetricFamily:
    """Return the gauge that says whether the others could be read."""
    return GaugeMetricFamily(DATABASE_UP, _DATABASE_UP, value=float(is_up))
