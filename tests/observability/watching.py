"""A Prometheus for the small world: scrapes in equal steps of its time, and processes that report."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from orchestrator.flows.reports.measure import begin_at_zero, measure_if_possible
from orchestrator.observability.gauges import StoreCollector, StoreReading
from orchestrator.observability.metrics import COUNTED
from orchestrator.rules.installation.liveness import KINDS, SCHEDULER
from orchestrator.scheduler import Scheduler
from orchestrator.store.database import Database
from orchestrator.tasks.liveness import Pulse
from tests.tools.promtool import Samples, fault_of_alerts
from tests.world import SECOND, World

ALL = frozenset({*KINDS, SCHEDULER})
STEP = 30 * SECOND


@dataclass
class Watch:
    """What Prometheus sees of a world. `step`: between two scrapes."""

    world: World
    step: timedelta = STEP
    alive: Collection[str] = ALL
    """The kinds of processes that report."""
    broker_answers: bool = True
    machine_is_ahead: float = 0.0
    """Seconds by which the clock of the workers' machine is off."""
    each_step: Callable[[], object] = lambda: None
    scrapes: bool = True
    database: Database | None = None
    """The database that the scraped process reads; None: the world's."""
    samples: Samples = field(init=False)

    def __post_init__(self) -> None:
        self.samples = Samples(self.world.clock.now, self.step)
        self._scheduler = Scheduler(self.world.services.database, self._send, self.world.clock.measured)
        self._pulses = {kind: Pulse(kind, self.world.clock.measured) for kind in sorted(ALL)}
        self._scheduler.pulse = self._pulses[SCHEDULER]
        begin_at_zero(tuple(self.world.services.config.providers))
        self._look()

    def during(self, span: timedelta, *, works: bool = True) -> None:
        """Let time pass, with scrapes. `works`: what is due is done meanwhile."""
        for _ in range(round(span / self.step)):
            (self.world.pass_time if works else self.world.jump)(self.step)
            self._look()

    def fault(self, alerts: Collection[str], directory: Path) -> str:
        """Return how what fired differs from these alerts; empty where it is the same."""
        return fault_of_alerts(self.samples, sorted(alerts), directory)

    def report(self, kind: str, name: str | None = None) -> None:
        """Write the row of one process, as its heartbeat does."""
        pulse = self._pulses[kind]
        wall = self.world.clock.now.timestamp() + self.machine_is_ahead
        row = name or f"the {kind} process"
        self.world.services.database.transact(lambda tx: tx.workers.report(pulse.report(row, tx.now(), wall)))

    def _send(self, name: str) -> object:
        if not self.broker_answers:
            raise ConnectionError(name)
        return None

    def _look(self) -> None:
        if SCHEDULER in self.alive:
            self._scheduler.tick("orchestrator.ping_due")
        for kind in self.alive:
            self.report(kind)
        self.each_step()
        if not self.scrapes:
            self.samples.count += 1
            return
        counted = (family for metric in COUNTED for family in metric.collect())
        self.samples.add(self.world.clock.now, [*counted, *StoreCollector(self._read).collect()])

    def _read(self) -> StoreReading | None:
        database = self.database or self.world.services.database
        config = self.world.services.config
        return measure_if_possible(database, tuple(config.providers), config)
