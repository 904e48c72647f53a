"""The database sums up starting and running sessions, for every change and every writer."""

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rules.billing.groups import Phase, grouped, is_counted_as
from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Session
from orchestrator.store.database import Database
from tests.rules.builders import HOUR, SECOND, T0, TICK
from tests.store.stage import (
    a_created,
    a_queued,
    a_running,
    an_account,
    is_sqlite,
    keep,
    run,
    session_id,
    the_session,
)

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
MOVES = {
    "state": State.STARTING,
    "starting_at": T0,
    "running_since": None,
    "ran_microseconds": 3_599_999_999,
}
STOPS = {
    "state": State.STOPPING,
    "running_since": None,
    "ran_microseconds": 5_000_000,
    "stop_reason": StopReason.USER,
    "stopped_at": T0,
    "due": None,
}


def agree(database: Database, account_id: str = "acme") -> bool:
    """Return whether the sums equal the rows."""
    with database.reading() as tx:
        counted = {group.key: group for group in tx.groups.of(account_id)}
        there = {group.key: group for group in grouped(tx.sessions.metered(account_id))}
    return all(is_counted_as(counted.get(key), there.get(key)) for key in counted.keys() | there.keys())


def change(database: Database, n: int, **changes: Any) -> None:
    before = the_session(database, n)
    database.transact(lambda tx: tx.sessions.save(before, replace(before, **changes)))


def starting(n: int, **changes: Any) -> Session:
    return a_running(n, state=State.STARTING, running_at=None, running_since=None, **changes)


def test_alike_sessions_are_one_row(database: Database) -> None:
    keep(database, an_account("other"), a_created(1), a_queued(2))
    keep(database, a_running(3, running_since=T0 + TICK), a_running(4, charged=Decimal(2)))
    keep(database, starting(5), a_running(6, nodes=2), a_running(7, account_id="other"))
    with database.reading() as tx:
        groups = tx.groups.of("acme")
    assert [(one.phase, one.nodes, one.sessions) for one in groups] == [
        (Phase.RUNNING, 1, 2),
        (Phase.RUNNING, 2, 1),
        (Phase.STARTING, 1, 1),
    ]
    assert groups[0].charged == 2
    assert groups[0].latest_second == int(T0.timestamp()) + 1
    assert agree(database)
    assert agree(database, "other")


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(lambda d: change(d, 1, charged=Decimal("0.000001")), id="it is charged"),
        pytest.param(lambda d: change(d, 1, **MOVES), id="it moves"),
        pytest.param(lambda d: change(d, 1, **STOPS), id="it stops"),
        pytest.param(
            lambda d: change(d, 3, state=State.RUNNING, running_at=T0, running_since=T0 + 1500 * TICK),
            id="it begins to run",
        ),
        pytest.param(
            lambda d: change(d, 1, running_since=T0 - HOUR - 7 * SECOND), id="its time is corrected"
        ),
        pytest.param(lambda d: change(d, 1, last_ping_at=T0), id="it is pinged"),
        pytest.param(lambda d: run(d, "DELETE FROM sessions"), id="all go"),
        pytest.param(
            lambda d: run(d, "UPDATE sessions SET nodes = nodes + 1, block_seconds = 900"), id="all change"
        ),
        pytest.param(
            lambda d: run(d, f"UPDATE sessions SET deleted_at = created_at WHERE id = '{session_id(2)}'"),
            id="one is deleted",
        ),
    ],
)
def test_sums_follow_every_change(database: Database, what: Callable[[Database], None]) -> None:
    keep(database, a_running(1, running_since=T0 - SECOND / 3), a_running(2, nodes=3), starting(3))
    assert agree(database)
    what(database)
    assert agree(database)


def test_a_group_without_sessions_is_no_row(database: Database) -> None:
    keep(database, a_running(1), a_running(2, nodes=3))
    change(database, 1, **STOPS)
    with database.reading() as tx:
        assert [(group.nodes, group.sessions) for group in tx.groups.of("acme")] == [(3, 1)]


def test_the_page_on_operations_says_how_to_sum_up_again(database: Database) -> None:
    keep(database, a_running(1, running_since=T0 - SECOND / 3), a_running(2, charged=Decimal(2)), starting(3))
    run(database, "UPDATE session_groups SET charged = charged + 1")
    assert not agree(database)
    forget, _, sums = PAGE.partition("DELETE FROM session_groups")[2].partition(";")
    sums = sums.partition(";")[0]
    if is_sqlite(database):
        its_own = re.search("-- on SQLite: (.*)", sums)
        assert its_own is not None
        sums = re.sub("coalesce.*\n", f"{its_own[1]}\n", sums, count=1)
    run(database, f"DELETE FROM session_groups{forget}")
    with database.engine.begin() as connection:
        connection.exec_driver_sql(sums)
    assert agree(database)
