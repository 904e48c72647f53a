"""The long-running commands: `worker`, `scheduler`, and `up`, which is everything in one tree."""

import logging
import os
import threading
from collections.abc import Callable
from functools import partial

from orchestrator import scheduler, wiring
from orchestrator.cli import private_valkey
from orchestrator.cli.output import say
from orchestrator.cli.readiness import look_at_broker, wait_for_database
from orchestrator.cli.tree import Tree
from orchestrator.flows.reports.measure import begin_at_zero, measure
from orchestrator.observability import log as logs
from orchestrator.observability import metrics
from orchestrator.settings import (
    ConfigurationError,
    Fault,
    Settings,
    load_settings,
    redacted_url,
    unknown_variables,
)
from orchestrator.store import migrate
from orchestrator.tasks.pools import POOLS, run_pool

log = logging.getLogger(__name__)


def run_worker(pool: str | None) -> int:
    """Run all five kinds of work in one process tree, or one kind in this process."""
    settings = _checked()
    if pool is not None:
        _serve_metrics(settings, shared=False)
        return _pool(pool, settings)
    return Tree(_pools(settings)).run()


def run_scheduler() -> int:
    """Send wake-ups until stopped."""
    return _scheduler(_checked())


def run_up() -> int:
    """Run the embedded platform until Ctrl-C: private Valkey, migrated database, worker and scheduler."""
    settings = load_settings()
    wiring.read_configuration(settings, require_secrets=True)
    with private_valkey.running(settings) as is_there:
        _migrate(settings)
        _checked()
        _announce(settings)
        targets = _pools(settings) | {"scheduler": partial(_scheduler, settings)}
        code = Tree(targets, rests_on=is_there).run()
    say("stopped; due work waits for the next start")
    return code


def _checked() -> Settings:
    """Return the settings once this process can work with them. Wrong settings end the process at once; it waits for a
    database that is down, and logs a broker that is down."""
    settings = load_settings()
    logs.configure(settings.log)
    configuration = wiring.read_configuration(settings, require_secrets=True)
    for fault in unknown_variables(configuration):
        log.warning("%s", fault)
    database = wiring.open_database(settings)
    wait_for_database(database.check)
    with database.reading() as tx:
        said = migrate.fit(tx.connection)
    database.dispose()
    if said:
        log.warning(said)
    look_at_broker(settings)
    return settings


def _pools(settings: Settings) -> dict[str, Callable[[], int]]:
    """Return the five kinds of work, and with them the process that adds up their counters."""
    targets: dict[str, Callable[[], int]] = {kind: partial(_pool, kind, settings) for kind in POOLS}
    return targets | ({"metrics": partial(_metrics, settings)} if settings.metrics_port else {})


def _metrics(settings: Settings) -> int:
    logs.configure(settings.log, process="metrics")
    _serve_metrics(settings, shared=True)
    threading.Event().wait()  # until SIGTERM
    return 0


def _serve_metrics(settings: Settings, *, shared: bool) -> None:
    if settings.metrics_port is None:
        return
    database = wiring.open_database(settings)
    configuration = wiring.read_configuration(settings)
    providers = tuple(configuration.providers)
    begin_at_zero(providers)
    where = f"{settings.metrics_host}:{settings.metrics_port}"
    try:
        metrics.serve(
            settings.metrics_host,
            settings.metrics_port,
            lambda: measure(database, providers, configuration),
            shared=shared,
        )
    except OSError as error:
        message = f"cannot serve on {where}: {error.strerror}"
        raise ConfigurationError([Fault("ORCHESTRATOR_METRICS_PORT", message)]) from None
    log.info("metrics at http://%s/metrics", where)


def _pool(kind: str, settings: Settings) -> int:
    logs.configure(settings.log, process=kind)
    return run_pool(kind, settings)


def _scheduler(settings: Settings) -> int:
    logs.configure(settings.log, process="scheduler")
    return scheduler.run(settings)


def _migrate(settings: Settings) -> None:
    database = wiring.open_database(settings)
    wait_for_database(database.check_reachable)
    migrate.upgrade(database)
    database.dispose()


def _announce(settings: Settings) -> None:
    lines = (
        f"orchestrator is up (pid {os.getpid()}); Ctrl-C stops it",
        f"  database  {redacted_url(settings.database_url)}",
        f"  broker    {redacted_url(settings.broker_url)}",
        f"  config    {settings.config}"
        + ("" if settings.config.exists() else " (absent: no providers yet)"),
    )
    say("\n".join(lines))
