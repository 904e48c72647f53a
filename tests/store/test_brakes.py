"""Which sessions count for a brake and against it, what its end changes, and that no query reads all live rows."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.upstream.brake import MANY, Health
from orchestrator.rules.values import Brake, Session
from orchestrator.rules.values.doubts import is_in_doubt
from orchestrator.store.database import Database
from orchestrator.store.queries.brakes import scope_of
from tests.history.test_flat import counting
from tests.rules.builders import HOUR, MINUTE, SECOND, T0
from tests.store.stage import a_placement, a_running, at_once, keep, the_session

pytestmark = pytest.mark.slow

WINDOW = MINUTE
ILL: dict[str, Any] = {"failures": 2, "failing_since": T0 - HOUR}
WELL: dict[str, Any] = {"last_ping_at": T0 - 20 * SECOND, "last_alive_at": T0 - 20 * SECOND}


def a_brake(credential: str | None = None, **changes: Any) -> Brake:
    plain: dict[str, Any] = {
        "scope": scope_of("alpha", credential),
        "provider": "alpha",
        "credential": credential,
        "since": T0,
        "until": T0 + 30 * MINUTE,
        "reason": "6 of 10",
    }
    return Brake(**(plain | changes))


def health(database: Database, credential: str | None = None, **more: Any) -> Health:
    asked: dict[str, Any] = {"since": T0 - WINDOW, "judged": None, "gone_counts": True} | more
    return database.transact(lambda tx: tx.brakes.health("alpha", credential, **asked))


@pytest.mark.parametrize("heard", [WELL, ILL, {"gone_since": T0}, {"unusable_since": T0}, {"busy_since": T0}])
def test_the_query_finds_whom_the_rule_doubts(database: Database, heard: dict[str, Any]) -> None:
    session = a_running(1, **heard)
    keep(database, session)
    assert health(database).doubtful == is_in_doubt(session)


def test_a_doubt_counts_however_old_it_is_and_an_answer_only_lately(database: Database) -> None:
    keep(
        database,
        a_running(1, **ILL),
        a_running(2, gone_since=T0 - SECOND, last_ping_at=T0 - SECOND),
        a_running(3, **WELL),
        a_running(4, last_ping_at=T0 - 2 * MINUTE, last_alive_at=T0 - 2 * MINUTE),
        a_running(5, last_alive_at=T0 - SECOND),
        a_running(6, **ILL, provider="beta"),
    )
    assert health(database) == Health(well=2, doubtful=2, died=0), (
        "4 is not heard of, and 5 was reported well"
    )
    assert health(database, gone_counts=False) == Health(well=2, doubtful=1, died=0)
    assert health(database, judged=T0 - MINUTE) == Health(well=2, doubtful=1, died=0), "1 was judged already"


def test_a_key_counts_its_own(database: Database) -> None:
    keep(database, a_running(1, **ILL), a_running(2, **WELL), a_running(3, **ILL, credential="env:B"))
    assert health(database, "env:A") == Health(well=1, doubtful=1, died=0)
    assert health(database, "env:B") == Health(well=0, doubtful=1, died=0)


def test_who_was_lost_lately_counts_once_wherever_it_is(database: Database) -> None:
    lately: dict[str, Any] = {"lost_at": T0 - SECOND}
    dead: dict[str, Any] = {
        "state": State.STOPPED,
        "running_since": None,
        "due": None,
        "ping_at": None,
        "stop_reason": StopReason.DEAD,
        "stopped_at": T0 - SECOND,
        "ended_at": T0,
    }
    keep(
        database,
        a_running(1, **dead),
        a_placement(1, **lately),
        a_running(2, provider="beta"),
        a_placement(2, **lately),
        a_running(3, **WELL),
        a_placement(3, **lately),
        a_running(4, **dead),
        a_placement(4, lost_at=T0 - 2 * MINUTE),
        a_running(5, **ILL),
        a_placement(5, **lately),
    )
    assert health(database) == Health(well=0, doubtful=1, died=3), "3 was placed here again, 4 is long gone"


def test_of_a_hang_only_those_whose_ping_has_ended_are_counted(database: Database) -> None:
    silent = {"last_ping_at": T0 - 70 * SECOND, "last_alive_at": T0 - 70 * SECOND}
    keep(database, *(a_running(n, **(ILL if n <= 8 else silent)) for n in range(1, 41)))
    assert health(database) == Health(well=0, doubtful=8, died=0)


def test_one_that_falls_ill_reads_no_more_beside_many(on_postgresql: Database) -> None:
    keep(on_postgresql, a_running(1, **ILL), *(a_running(n, **WELL) for n in range(2, 2000)))
    with on_postgresql.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()
    with counting(on_postgresql) as read:
        before = read()
        assert health(on_postgresql).well == 1 + MANY
        assert read() - before <= 100, "of 2,000"


def test_it_holds_until_it_is_over_and_begins_anew_only_after_that(database: Database) -> None:
    assert database.transact(lambda tx: tx.brakes.engage(a_brake()))
    assert not database.transact(lambda tx: tx.brakes.engage(a_brake(since=T0 + MINUTE)))
    assert database.transact(lambda tx: tx.brakes.holding(T0 + 29 * MINUTE)) == [a_brake()]
    assert database.transact(lambda tx: tx.brakes.holding(T0 + 30 * MINUTE)) == []
    assert database.transact(lambda tx: tx.brakes.expire(a_brake(), T0 + 31 * MINUTE))
    assert not database.transact(lambda tx: tx.brakes.expire(a_brake(), T0 + 31 * MINUTE))
    anew = a_brake(since=T0 + HOUR, until=T0 + 2 * HOUR)
    assert database.transact(lambda tx: tx.brakes.engage(anew))
    assert database.transact(lambda tx: tx.brakes.all()) == [anew]
    assert not database.transact(lambda tx: tx.brakes.forget(a_brake())), "that hold is over, this one is not"
    assert database.transact(lambda tx: tx.brakes.forget(anew))


def test_its_end_lets_every_doubt_there_begin_anew(database: Database) -> None:
    unwell: dict[str, Any] = {"not_well_since": T0 - HOUR, "held_since": T0 - MINUTE}
    keep(database, a_running(1, **ILL, **unwell), a_running(2, **WELL), a_running(3, **ILL, provider="beta"))
    database.transact(lambda tx: tx.brakes.begin_again(a_brake()))

    def reported(n: int) -> Session:
        return the_session(database, n)

    assert (reported(1).failures, reported(1).failing_since) == (0, None)
    assert reported(1).not_well_since == T0 - HOUR, "it has given no proof of life"
    assert reported(1).held_since == T0 - MINUTE, "what it costs still depends on the hold"
    assert (reported(1).revision, reported(2).revision, reported(3).failures) == (1, 0, 2)


def test_recoveries_that_are_counted_at_once_all_count(database: Database) -> None:
    database.transact(lambda tx: tx.brakes.engage(a_brake()))
    scope = a_brake().scope
    at_once(*[lambda: database.transact(lambda tx: tx.brakes.note_successes(scope, 5))] * 8)
    [held] = database.transact(lambda tx: tx.brakes.all())
    assert held.successes == 40


def test_what_left_there_is_counted_where_it_starts_and_runs(database: Database) -> None:
    lately: dict[str, Any] = {"lost_at": T0 + SECOND}
    starting: dict[str, Any] = {"state": State.STARTING, "running_since": None, "provider": "beta"}
    keep(
        database,
        a_running(1, **starting),
        a_placement(1, **lately),
        a_running(2, provider="beta"),
        a_placement(2, **lately),
        a_running(3, provider="beta"),
        a_placement(3, lost_at=T0 - timedelta(hours=1)),
    )
    assert database.transact(lambda tx: tx.brakes.moved(a_brake())) == (1, 1)
