"""The cost of a batch of retention follows what it moves, however many sessions are over and however many have left."""

from dataclasses import replace
from datetime import timedelta

from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.archive_sessions import archive_sessions
from orchestrator.rules.installation.retention import SessionRetention
from orchestrator.settings.configuration import RetentionSettings
from tests.history.past import KEEPER, give_a_past, multiply, open_account
from tests.history.test_flat import cost, counting, partial_indexes, scanned
from tests.money.stage import Stage
from tests.servers import Postgres
from tests.store.stage import statements

DAY = timedelta(days=1)
#: Sessions beside which a batch is measured.
FEW, MANY = 1_500, 15_000
#: Rows that one batch may read more beside many than beside few.
SLACK = 100


class Enough(Exception):
    """One batch is over."""


def retaining(stage: Stage) -> Services:
    """Return the stage's worker, where sessions are archived after 40 days."""
    services = stage.services
    retention = RetentionSettings(sessions=SessionRetention.ARCHIVE, sessions_kept_days=40.0)
    return replace(services, config=replace(services.config, retention=retention))


def one_batch(stage: Stage) -> None:
    """Archive one batch, and no more."""

    def enough(_seconds: float) -> None:
        raise Enough

    try:
        archive_sessions(retaining(stage), rest=enough)
    except Enough:
        return
    raise AssertionError("nothing left")


def test_a_batch_costs_what_it_moves(postgres: Postgres) -> None:
    with postgres.fresh_database() as url:
        stage = Stage(url, plans={KEEPER.name: KEEPER})
        stage.reset()
        open_account(stage)
        give_a_past(stage, FEW)
        stage.jump(41 * DAY)
        with counting(stage.services.database) as read:
            one_batch(stage)
            few = cost(stage, lambda: one_batch(stage), read)
            with stage.services.database.reading() as tx:
                [left] = [one.id for one in tx.retention.candidates(tx.now(), 1)]
            multiply(stage, left, MANY, first=FEW)
            one_batch(stage)
            many = cost(stage, lambda: one_batch(stage), read)
        stage.close()
    assert many.statements == few.statements
    assert many.rows <= few.rows + SLACK, (few, many)


def test_a_batch_scans_nothing_on_sqlite(sqlite_url: str) -> None:
    stage = Stage(sqlite_url, plans={KEEPER.name: KEEPER})
    stage.reset()
    open_account(stage)
    give_a_past(stage, 1000)
    stage.jump(41 * DAY)
    small = partial_indexes(stage.services.database)
    with statements(stage.services.database) as seen:
        one_batch(stage)
    scans = [scan for one in seen for scan in scanned(stage.services.database, *one, small)]
    stage.close()
    assert scans == []
