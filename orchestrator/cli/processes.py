"""The long-running commands: `worker`, `scheduler`, and `up`, which is everything in one tree."""

import logging
import os
import sys
from functools import partial

from orchestrator import scheduler, wiring
from orchestrator.cli import private_valkey
from orchestrator.cli.tree import Tree
from orchestrator.client.sender import check_broker
from orchestrator.observability import log as logs
from orchestrator.settings import Settings, load_settings, redacted_url
from orchestrator.store import migrate
from orchestrator.tasks.pools import POOLS, run_pool

log = logging.getLogger(__name__)


def run_worker(pool: str | None) -> int:
    """All four kinds of work in one process tree, or one kind in this process."""
    settings = _checked()
    if pool is not None:
        return _pool(pool, settings)
    return Tree({kind: partial(_pool, kind, settings) for kind in POOLS}).run()


def run_scheduler() -> int:
    """Ticks until it is stopped."""
    return _scheduler(_checked())


def run_up() -> int:
    """The embedded platform: private Valkey, migrated database, worker and scheduler, until Ctrl-C."""
    settings = load_settings()
    wiring.read_configuration(settings, require_secrets=True)
    with private_valkey.running(settings):
        _migrate(settings)
        _checked()
        _announce(settings)
        targets = {kind: partial(_pool, kind, settings) for kind in POOLS}
        code = Tree(targets | {"scheduler": partial(_scheduler, settings)}).run()
    print("stopped; what was due is due at the next start", file=sys.stderr)
    return code


def _checked() -> Settings:
    """Everything that a process needs is there, or it says at once what is not, and does not start."""
    settings = load_settings()
    logs.configure(settings.log)
    wiring.read_configuration(settings, require_secrets=True)
    database = wiring.open_database(settings)
    database.check()
    database.dispose()
    check_broker(settings.broker_url, sentinel_master=settings.sentinel_master)
    return settings


def _pool(kind: str, settings: Settings) -> int:
    logs.configure(settings.log, process=kind)
    return run_pool(kind, settings)


def _scheduler(settings: Settings) -> int:
    logs.configure(settings.log, process="scheduler")
    return scheduler.run(settings)


def _migrate(settings: Settings) -> None:
    database = wiring.open_database(settings)
    database.check_reachable()
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
    print("\n".join(lines), file=sys.stderr, flush=True)
