"""The database keeps the next step of each session beside it, for every writer, so that a ping changes no index of
`sessions`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.rules.states import State, Step
from orchestrator.rules.values import Due
from orchestrator.store.database import Database
from orchestrator.store.queries.pings import GoodPing
from tests.rules.builders import HOUR, SECOND, T0
from tests.store.stage import (
    a_created,
    a_placement,
    a_queued,
    a_running,
    keep,
    run,
    session_id,
    the_session,
)

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
PINGED = 200


def differing(database: Database) -> int:
    """Return how many next steps differ from those on the sessions' own rows."""
    kept = "SELECT session_id, step, at, provider FROM next_steps"
    there = "SELECT id, next_step, next_step_at, provider FROM sessions WHERE next_step IS NOT NULL"
    both = (f"{kept} EXCEPT {there}", f"{there} EXCEPT {kept}")
    with database.engine.connect() as connection:
        return sum(
            connection.execute(text(f"SELECT count(*) FROM ({query}) AS d")).scalar_one() for query in both
        )


def change(database: Database, n: int, **changes: Any) -> None:
    before = the_session(database, n)
    database.transact(lambda tx: tx.sessions.save(before, replace(before, **changes)))


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(lambda d: change(d, 1, due=Due(Step.WARN, T0)), id="its step changes"),
        pytest.param(lambda d: change(d, 1, provider="beta"), id="it moves"),
        pytest.param(
            lambda d: change(d, 1, state=State.STOPPING, running_since=None, stopped_at=T0, due=None),
            id="it loses its step",
        ),
        pytest.param(
            lambda d: change(d, 3, state=State.QUEUED, queued_at=T0, due=Due(Step.ADMIT, T0)),
            id="it gets a step",
        ),
        pytest.param(lambda d: keep(d, a_running(4), a_queued(5), a_created(6)), id="others come"),
        pytest.param(lambda d: run(d, "DELETE FROM sessions WHERE next_step = 'ping'"), id="some go"),
        pytest.param(lambda d: run(d, "UPDATE sessions SET provider = NULL"), id="all lose their provider"),
        pytest.param(lambda d: run(d, "DELETE FROM next_steps"), id="a step was lost, and the row changes"),
    ],
)
def test_next_steps_follow_every_change(database: Database, what: Callable[[Database], None]) -> None:
    keep(database, a_running(1), a_queued(2), a_created(3))
    assert differing(database) == 0
    what(database)
    run(
        database, "UPDATE sessions SET next_step_at = '2026-03-01 00:00:00+00:00' WHERE next_step IS NOT NULL"
    )
    assert differing(database) == 0


def test_the_page_on_operations_says_how_to_write_a_step_again(database: Database) -> None:
    keep(database, a_running(1), a_queued(2))
    run(database, "UPDATE next_steps SET provider = 'gamma'")
    assert differing(database)
    statements = PAGE.partition("```sql\nDELETE FROM next_steps")[2].partition("```")[0]
    for n in (1, 2):
        for statement in f"DELETE FROM next_steps{statements}".replace("s-1", session_id(n)).split(";")[:2]:
            run(database, statement)
    assert differing(database) == 0


def test_a_session_is_claimed_by_its_own_row_whatever_its_next_step_says(database: Database) -> None:
    keep(database, a_running(1, due=Due(Step.PING, T0 + HOUR), ping_at=T0 + HOUR), a_placement(1))
    keep(database, a_running(2), a_placement(2))
    run(database, "UPDATE next_steps SET at = (SELECT min(at) FROM next_steps)")
    claimed = database.transact(lambda tx: tx.pings.claim("alpha", 9, now=T0, token="t", lease_seconds=90))
    assert [session.id for session, _ in claimed] == [session_id(2)]


def test_good_pings_change_no_index_of_sessions(on_postgresql: Database) -> None:
    """PostgreSQL counts such updates as HOT."""
    keep(on_postgresql, *(row for n in range(PINGED) for row in (a_running(n), a_placement(n))))
    before = updates(on_postgresql)
    for n in range(10):
        ping_all(on_postgresql, f"t{n}")
    made, hot = (now - was for now, was in zip(updates(on_postgresql), before, strict=True))
    assert made >= 2 * 10 * PINGED
    assert hot >= 0.9 * made


def ping_all(database: Database, token: str) -> None:
    claimed = database.transact(
        lambda tx: tx.pings.claim("alpha", PINGED, now=T0, token=token, lease_seconds=90)
    )
    assert len(claimed) == PINGED
    good = [
        GoodPing(
            session_id=session.id,
            token=token,
            revision=session.revision,
            at=T0,
            latency_ms=20,
            ping_at=T0 - SECOND,
            due=Due(Step.PING, T0 - SECOND),
        )
        for session, _ in claimed
    ]
    assert len(database.transact(lambda tx: tx.pings.settle_good(good))) == PINGED


def updates(database: Database) -> tuple[int, int]:
    """Return how many updates of sessions there were, and how many of them were HOT."""
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'"
    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.rollback()
        row = connection.execute(text(query)).one()
    return row[0], row[1]
