"""The store goes down while providers answer: every answer is lost, and the log stays readable."""

import logging
import sqlite3

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.rules.states import State
from tests.world import MINUTE, SECOND, World

OUTAGE = OperationalError("BEGIN", {}, sqlite3.DatabaseError("disk I/O error"))


class Store:
    """The world's store, which raises `error` at each transaction that would settle an answer."""

    def __init__(self, world: World, operation: str, error: Exception, *, spared: int = 0) -> None:
        """`spared`: transactions after the first call of `operation` that still succeed."""
        self._world, self._operation, self._error, self._spared = world, operation, error, spared
        self._before = world.calls(operation)
        self._engine = world.services.database.engine
        event.listen(self._engine, "begin", self._begin)

    def comes_back(self) -> None:
        event.remove(self._engine, "begin", self._begin)

    def _begin(self, _connection: object) -> None:
        if self._world.calls(self._operation) == self._before:
            return
        self._spared -= 1
        if self._spared < 0:
            raise self._error


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_open_that_an_outage_forgets_is_reported_in_one_line_and_found_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = world.create_session("moral")
    store = Store(world, "open", OUTAGE)
    open_due(world.services)
    [reported] = errors(caplog)
    assert (reported.exc_info, reported.getMessage().count("\n")) == (None, 0)
    assert reported.getMessage().startswith("cannot settle an answer for placement ")
    assert reported.getMessage().endswith(": the database is down or cannot be reached (DatabaseError)")

    store.comes_back()
    world.pass_time(15 * MINUTE)
    assert world.session(session_id).state is State.RUNNING
    assert len(world.server.open_sessions()) == 1


def test_a_ping_that_an_outage_forgets_is_reported_in_one_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = world.run_session("moral")
    world.server.fault("status", status=500, operation="chat", times=1)
    world.jump(31 * SECOND)
    store = Store(world, "chat", OUTAGE, spared=1)
    ping_due(world.services)
    [reported] = errors(caplog)
    assert reported.exc_info is None
    assert (
        reported.getMessage()
        == f"cannot settle a ping of session {session_id}: the database is down or cannot be reached (DatabaseError)"
    )

    store.comes_back()
    world.pass_time(5 * MINUTE)
    assert world.session(session_id).failures == 0


def test_a_defect_keeps_its_trace(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.create_session("moral")
    store = Store(world, "open", ZeroDivisionError("ours"))
    open_due(world.services)
    store.comes_back()
    [reported] = errors(caplog)
    assert reported.exc_info is not None
    assert isinstance(reported.exc_info[1], ZeroDivisionError)
    world.pass_time(15 * MINUTE)
