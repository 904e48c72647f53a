"""The cost of an admission does not grow with an account's past nor with its queue, and no index is scanned."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from orchestrator.rules.values import Plan
from orchestrator.store.plain import table_of
from tests.money.stage import HOUR, SECOND, Stage
from tests.store.stage import is_sqlite, run, statements

SESSIONS, PLACEMENTS = table_of("sessions"), table_of("placements")
ACCOUNTS = ("acme", "bob", "other")
#: `acme` and `other` keep ended sessions, `bob` must delete his.
PLANS = {
    "keeper": Plan(name="keeper", max_concurrent=5),
    "payg": Plan(name="payg", max_sessions=20, max_concurrent=2),
}


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    stage = Stage(database_url, plans=PLANS)
    stage.reset()
    for account_id, plan in (("acme", "keeper"), ("bob", "payg"), ("other", "keeper")):
        stage.open_account(account_id, plan, "1000")
    yield stage
    stage.close()


def give_a_past(stage: Stage, sessions: int) -> None:
    """Give each account this many ended sessions: half of them deleted, all of bob's."""
    for account_id in ACCOUNTS:
        over = stage.done(
            "session.create", account_id=account_id, model_id="llama", session_id=f"{account_id}-old"
        )
        stage.settle()
        stage.done("session.close", session_id=over["id"])
        stage.jump(HOUR)
        stage.settle()
        multiply_past(stage, f"{account_id}-old", sessions)
        stage.done("session.delete", session_id=over["id"])
    analyse(stage)


def multiply_past(stage: Stage, session_id: str, times: int) -> None:
    """Multiply an ended session; half of the copies are deleted, all of bob's."""
    multiply(stage, session_id, times, deleted="1 = 1" if session_id.startswith("bob") else "k % 2 = 0")


def multiply(stage: Stage, session_id: str, times: int, *, deleted: str) -> None:
    """Multiply a session and its placement."""
    kept = {"id": f"'{session_id}-' || k", "name": f"'{session_id}-' || k"}
    kept["deleted_at"] = f"CASE WHEN {deleted} THEN created_at ELSE NULL END"
    placed = dict.fromkeys(("id", "session_id", "handle"), f"'{session_id}-' || k")
    numbers = f"WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {times})"
    for table, own, key in ((SESSIONS, kept, "id"), (PLACEMENTS, placed, "session_id")):
        columns = [column.name for column in table.columns]
        values = ", ".join(own.get(name, name) for name in columns)
        source = f"SELECT {values} FROM {table.name}, n WHERE {key} = '{session_id}'"
        run(
            stage.services.database,
            f"INSERT INTO {table.name} ({', '.join(columns)}) {numbers} {source}",
        )


def analyse(stage: Stage) -> None:
    """Give the planner its statistics."""
    for name in ("sessions", "placements", "accounts", "models", "credentials"):
        run(stage.services.database, f"ANALYZE {name}")


def admission_of(stage: Stage, account_id: str, session_id: str, model_id: str = "llama") -> list[str]:
    """Return every statement of one create that starts, with its plan where the database has one."""
    stage.jump(SECOND)
    database = stage.services.database
    with statements(database) as seen:
        stage.done("session.create", account_id=account_id, model_id=model_id, session_id=session_id)
    if is_sqlite(database):
        return [statement for statement, _ in seen]
    with database.engine.connect() as connection:
        return [planned(connection, *one) for one in seen if "SAVEPOINT" not in one[0]]


def planned(connection: Connection, statement: str, parameters: Any) -> str:
    one = parameters[0] if isinstance(parameters, list) else parameters  # of many rows, the first
    plan = connection.exec_driver_sql("EXPLAIN " + statement, one).scalars()
    return "\n".join([statement, *plan])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("account_id", ["acme", "bob"])
def test_an_admission_is_as_many_statements_at_20_past_sessions_as_at_20_000(
    stage: Stage, account_id: str
) -> None:
    give_a_past(stage, 20)
    few = admission_of(stage, account_id, "first")
    give_a_past_more(stage, 20_000)
    many = admission_of(stage, account_id, "second")
    assert len(many) == len(few) + 1  # beside `first`, which starts, what it costs is read
    assert_no_scan(many)


def give_a_past_more(stage: Stage, sessions: int) -> None:
    """Put this many more sessions behind the same accounts."""
    for account_id in ACCOUNTS:
        multiply_past(stage, f"{account_id}-old-1", sessions)
    analyse(stage)


@pytest.mark.timeout(300)
def test_a_newcomer_behind_a_long_queue_is_as_many_statements_as_behind_a_short_one(stage: Stage) -> None:
    """Sessions that wait for the gateway's keys block none that goes elsewhere, however many they are."""
    give_a_past(stage, 5_000)
    for n in range(2):
        stage.done("session.create", account_id="acme", model_id="moral", session_id=f"holder-{n}")
    queued = {"account_id": "acme", "model_id": "moral", "on_quota": "queue"}
    result = stage.done("session.create", session_id="queued", **queued)
    assert result["state"] == "queued"
    behind_one = admission_of(stage, "acme", "newcomer-1")
    multiply(stage, "queued", 500, deleted="1 = 0")
    analyse(stage)
    behind_many = admission_of(stage, "acme", "newcomer-2")
    assert len(behind_one) == len(behind_many)
    assert_no_scan(behind_many)


def assert_no_scan(plans: list[str]) -> None:
    for plan in plans:
        assert "Seq Scan on sessions" not in plan, plan
        assert "Seq Scan on placements" not in plan, plan
