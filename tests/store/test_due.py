"""One query finds where something is due, so that providers at rest cost no claim."""

from datetime import datetime

from orchestrator.rules.states import Step
from orchestrator.rules.values import Due
from orchestrator.store.database import Database
from tests.rules.builders import MINUTE, SECOND, T0
from tests.store.stage import a_closing, a_created, a_running, an_opening, keep, statements

HERE = ["beta", "alpha", "gamma"]


def where(database: Database, step: Step, now: datetime = T0) -> list[str]:
    with database.reading() as tx:
        return tx.due_work.providers(step, HERE, now)


def test_placements_are_found_at_their_instant_and_by_their_step(database: Database) -> None:
    keep(database, *(a_created(n) for n in range(1, 4)))
    keep(
        database,
        a_closing(1, provider="alpha", due=Due(Step.CLOSE, T0 - MINUTE)),
        a_closing(2, provider="gamma", due=Due(Step.CLOSE, T0 + SECOND)),
        an_opening(3, provider="beta", due=Due(Step.OPEN, T0)),
    )
    assert where(database, Step.CLOSE) == ["alpha"]
    assert where(database, Step.OPEN) == ["beta"]
    assert where(database, Step.RESOLVE) == []
    assert where(database, Step.CLOSE, T0 + SECOND) == ["alpha", "gamma"]


def test_pings_are_looked_for_among_sessions(database: Database) -> None:
    keep(database, a_running(1, provider="gamma", due=Due(Step.PING, T0)))
    assert where(database, Step.PING, T0 - SECOND) == []
    assert where(database, Step.PING) == ["gamma"]


def test_it_is_one_statement_however_many_providers(database: Database) -> None:
    with statements(database) as seen:
        assert where(database, Step.PING) == []
    assert len([one for one, _ in seen if one.startswith("SELECT") and "clock_timestamp" not in one]) == 1
    with database.reading() as tx:
        assert tx.due_work.providers(Step.PING, [], T0) == []
