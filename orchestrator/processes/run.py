"""The long-running commands: `worker`, `api`, and `up`, which is everything in one tree."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from orchestrator import scheduler, wiring
from orchestrator.api.listening import listen
from orchestrator.flows.operations.tokens import create_token
from orchestrator.observability import log as logs
from orchestrator.processes import private_valkey, sharing
from orchestrator.processes.apart import run_apart
from orchestrator.processes.arenas import bound_arenas
from orchestrator.processes.health import serve_health
from orchestrator.processes.readiness import probe_broker, wait_for_database
from orchestrator.processes.traces import require_traces, traced
from orchestrator.processes.tree import Tree
from orchestrator.rules.installation.liveness import KINDS, SCHEDULER
from orchestrator.rules.installation.secret_texts import redacted_url
from orchestrator.rules.values import Scope
from orchestrator.settings import (
    ConfigurationError,
    Settings,
    load_settings,
    unknown_variables,
)
from orchestrator.tasks.liveness import BEATS
from orchestrator.tasks.pools import POOLS

log = logging.getLogger(__name__)

#: How long the link that `up` prints is valid. The next start replaces it.
LINK_LASTS = timedelta(days=7)


def run_worker(pool: str | None) -> int:
    """Run all five kinds of work in one process tree, or one kind in this process."""
    settings = checked_apart()
    if pool is not None:
        BEATS.expect([pool])
        sharing.import_queries()
        serve_health(settings, [pool], shared=False)
        return _pool(pool, settings)
    sharing.prepare(settings)
    return Tree(_with_metrics(_pools(settings), settings)).run()


def run_api(*, read_only: bool = False) -> int:
    """Serve the HTTP API and the console until stopped. `read_only`: the console changes nothing."""
    settings = checked()
    sharing.import_queries()
    logs.configure(settings.log, process="api")
    try:
        serve_health(settings, [], shared=False)
    except ConfigurationError as error:
        log.warning("%s. Serving the API without metrics", error)
    return _api(settings.model_copy(update={"console_read_only": read_only or settings.console_read_only}))


def run_up(say: Callable[[str], None]) -> int:
    """Run the embedded platform until Ctrl-C: private Valkey, migrated database, worker, scheduler and HTTP API. `say`:
    print a line."""
    settings = load_settings()
    wiring.read_configuration(settings, require_secrets=True)
    with private_valkey.running(settings) as is_there:
        _migrate(settings)
        checked()
        served = _api_is_served(settings)
        say(_announcement(settings, console_link(settings) if served else None))
        targets = _pools(settings) | {"scheduler": partial(_scheduler, settings)}
        targets |= {"api": partial(_api, settings)} if served else {}
        bound_arenas()
        sharing.prepare(settings)
        code = Tree(_with_metrics(targets, settings), rests_on=is_there).run()
    say("stopped; due work waits for the next start")
    return code


def checked_apart() -> Settings:
    """Return the same, checked in a process of its own: what only the check imports takes no memory here."""
    bound_arenas()
    run_apart(_check)
    settings = load_settings()
    logs.configure(settings.log)
    return settings


def _check() -> None:
    checked()


def checked() -> Settings:
    """Return the settings once this process can work with them. Wrong settings end the process at once; it waits for a
    database that is down, and logs a broker that is down."""
    from orchestrator.store import migrate

    settings = load_settings()
    logs.configure(settings.log)
    require_traces(settings)
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
    probe_broker(settings)
    return settings


def _pools(settings: Settings) -> dict[str, Callable[[], int]]:
    """Return a target for each kind of work."""
    return {kind: partial(_pool, kind, settings) for kind in POOLS}


def _with_metrics(targets: dict[str, Callable[[], int]], settings: Settings) -> dict[str, Callable[[], int]]:
    """Return the targets, with one that serves their metrics and probes if a port is set."""
    kinds = [kind for kind in (*KINDS, SCHEDULER) if kind in targets]
    BEATS.expect(kinds)
    return targets | ({"metrics": partial(_metrics, settings, kinds)} if settings.metrics_port else {})


def _metrics(settings: Settings, kinds: Sequence[str]) -> int:
    logs.configure(settings.log, process="metrics")
    serve_health(settings, kinds, shared=True)
    threading.Event().wait()  # until SIGTERM
    return 0


def _pool(kind: str, settings: Settings) -> int:
    from orchestrator.tasks.run_pool import run_pool

    logs.configure(settings.log, process=kind)
    with traced(settings, kind):
        return run_pool(kind, settings)


def _scheduler(settings: Settings) -> int:
    logs.configure(settings.log, process="scheduler")
    return scheduler.run(settings)


def _api(settings: Settings) -> int:
    from orchestrator.api import serving
    from orchestrator.console.site import create_site

    logs.configure(settings.log, process="api")
    with traced(settings, "api"):
        return serving.serve(settings, partial(create_site, read_only=settings.console_read_only))


def _api_is_served(settings: Settings) -> bool:
    """Return whether `up` serves the API. A port that the operator chose must be free; where the default port is taken,
    the rest runs without the API, and a message says so. Raises ConfigurationError."""
    if settings.api_port is None:
        return False
    try:
        listen(settings).close()
    except ConfigurationError as error:
        if settings.api_port_is_explicit:
            raise
        log.warning("running without the HTTP API: %s", *error.faults)
        return False
    return True


def _migrate(settings: Settings) -> None:
    from orchestrator.store import migrate

    database = wiring.open_database(settings)
    wait_for_database(database.check_reachable)
    migrate.upgrade(database)
    database.dispose()


def console_link(settings: Settings) -> str:
    """Return a link that signs in to the console. It has a new token, and the one of the last start on this machine
    ends; it lasts for a week, as a log may keep it. Browsers keep what is behind `#` to themselves, so that no log of a
    server has it."""
    database = wiring.open_database(settings)
    try:
        name = f"up@{socket.gethostname()}"
        made = create_token(database, name, {Scope.ADMIN, Scope.REVEAL}, lasts=LINK_LASTS, replaces=True)
    finally:
        database.dispose()
    return f"{_url(settings)}/sign-in#token={made.text}"


def _url(settings: Settings) -> str:
    """Return where a browser on this machine reaches the API."""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
    host = here.get(settings.api_host, settings.api_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"


def _announcement(settings: Settings, link: str | None) -> str:
    """Return what `up` says. `link`: to the console; None: neither it nor the API is served."""
    lines = (
        f"orchestrator is up (pid {os.getpid()}); Ctrl-C stops it",
        f"  console   {link or 'not served'}",
        f"  database  {redacted_url(settings.database_url)}",
        f"  broker    {redacted_url(settings.broker_url)}",
        f"  HTTP API  {f'{_url(settings)}/v1' if link else 'not served'}",
        f"  config    {settings.config}"
        + ("" if settings.config.exists() else " (absent: no providers yet)"),
    )
    return "\n".join(lines)
