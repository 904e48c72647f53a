"""The command `scheduler`. It sends a few names, and needs neither drivers nor flows that are at work elsewhere."""

from orchestrator import scheduler
from orchestrator.observability import log as logs
from orchestrator.processes.apart import run_apart
from orchestrator.processes.arenas import bound_arenas
from orchestrator.rules.installation.liveness import SCHEDULER
from orchestrator.settings import load_settings
from orchestrator.tasks.liveness import BEATS


def run_scheduler() -> int:
    """Send wake-ups until stopped. The configuration is checked first, in a process of its own."""
    bound_arenas()
    run_apart(_check)
    settings = load_settings()
    logs.configure(settings.log)
    if settings.metrics_port is not None:
        from orchestrator.processes.health import serve_health

        BEATS.expect([SCHEDULER])
        serve_health(settings, [SCHEDULER], shared=False)
    return scheduler.run(settings)


def _check() -> None:
    from orchestrator.processes.run import checked

    checked()
