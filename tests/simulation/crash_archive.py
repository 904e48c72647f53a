"""The story of sessions that leave the live tables: at any crash every sum holds, and the rest leaves later."""

from dataclasses import replace

from orchestrator.flows.audit.audit_store import audit_everything
from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.archive_sessions import archive_sessions
from orchestrator.flows.operations.delete_ended import delete_ended
from orchestrator.rules.installation.retention import SessionRetention
from tests.simulation.crash_stage import MINUTE, Stage, Story

#: Days after which a session leaves here, and seconds after which it is deleted.
KEPT_DAYS, DELETED_AFTER = 5 / 1440, 30.0


async def _leaves(stage: Stage) -> None:
    """Create three sessions, and a younger one; archive and delete."""
    for _ in range(3):
        await stage.create(stop={"max_duration_seconds": 60})
        await stage.passes(2 * MINUTE)
    await stage.passes(6 * MINUTE)
    await stage.create(stop={"max_duration_seconds": 60})
    await stage.passes(2 * MINUTE)
    for work in (_archive, _delete):
        done = None
        while done is None:  # its worker died of it: the next one continues
            done = await stage.by_itself("retention", work)
            await stage.passes(20)
            report = await stage.by_itself("audit", audit_everything)
            assert report is None or report.found == [], report
    assert _left(stage) == 3


def _retaining(services: Services) -> Services:
    wanted = {
        "sessions": SessionRetention.ARCHIVE,
        "sessions_kept_days": KEPT_DAYS,
        "auto_delete_after_seconds": DELETED_AFTER,
    }
    retention = services.config.retention.model_copy(update=wanted)
    return replace(services, config=replace(services.config, retention=retention))


def _archive(services: Services) -> int:
    return archive_sessions(_retaining(services), rest=lambda _seconds: None, most_rows=1)


def _delete(services: Services) -> int:
    return delete_ended(_retaining(services))


def _left(stage: Stage) -> int:
    with stage.universe.database.reading() as tx:
        sums = tx.archive.sums(["acme"])["acme"]
    return sums["revenue"][1]


ARCHIVED = (Story(name="leaves the live tables", plot=_leaves, providers=("alpha",)),)
