"""Metrics and probes of workers, schedulers and API processes: `/metrics`, `/healthz`, `/readyz` on one port."""

import logging
from collections.abc import Collection

from orchestrator import wiring
from orchestrator.flows.reports.measure import begin_at_zero, measure_if_possible
from orchestrator.observability import metrics, serving
from orchestrator.observability.serving import Probe
from orchestrator.settings import ConfigurationError, Fault, Settings
from orchestrator.store.database import Database, StoreUnavailable
from orchestrator.tasks.liveness import BEATS

log = logging.getLogger(__name__)

#: A process is stuck when its heartbeat has stood still for this long; waiting for a database takes less. Seconds.
STUCK_AFTER = 120.0


def serve_health(settings: Settings, kinds: Collection[str], *, shared: bool) -> None:
    """Serve them if a port is set. `kinds`: `/healthz` reads the heartbeat of each; `shared`: the counters of all
    are added up. Raises ConfigurationError."""
    if settings.metrics_port is None:
        return
    host, database = settings.metrics_host, wiring.open_database(settings, pool_size=2)
    configuration = wiring.read_configuration(settings)
    providers = tuple(configuration.providers)
    begin_at_zero(providers, tuple(configuration.webhooks))
    registry = metrics.registry(
        lambda: measure_if_possible(database, providers, configuration), shared=shared
    )
    probes = {"/healthz": liveness(kinds), "/readyz": readiness(kinds, database)}
    try:
        port = serving.serve(host, settings.metrics_port, registry, probes)
    except OSError as error:
        message = f"cannot serve on {host}:{settings.metrics_port}: {error.strerror}"
        raise ConfigurationError([Fault(("ORCHESTRATOR_METRICS_PORT",), message)]) from None
    log.info("metrics at http://%s:%d/metrics, probes at /healthz and /readyz", host, port)


def liveness(kinds: Collection[str]) -> Probe:
    """Return a probe that fails once the heartbeat of one of these processes stands still."""

    def probe() -> str | None:
        stuck = [kind for kind in sorted(kinds) if BEATS.seconds_since(kind) > STUCK_AFTER]
        return f"stuck for more than {STUCK_AFTER:g} s: {', '.join(stuck)}" if stuck else None

    return probe


def readiness(kinds: Collection[str], database: Database) -> Probe:
    """Return a probe that also fails while the database does not answer or lacks the tables."""
    lives = liveness(kinds)

    def probe() -> str | None:
        try:
            database.check()
        except StoreUnavailable as error:
            return lives() or str(error)
        return lives()

    return probe
