"""The costs by day are compared with the ledger: an entry was not counted, or a row was changed by hand."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from orchestrator.flows.audit import audit_store
from orchestrator.flows.audit.audit_store import audit_everything, audit_now
from orchestrator.flows.audit.audit_store import audit_store as audit_tick
from orchestrator.flows.operations.archive_sessions import archive_sessions
from orchestrator.rules.audit.invariants import Invariant, Violation
from orchestrator.rules.installation.retention import SessionRetention
from orchestrator.settings.configuration import RetentionSettings
from orchestrator.store.queries.audit_costs import CostAudit
from tests.servers import Postgres
from tests.store.stage import statements
from tests.world import MINUTE, World

DAY = timedelta(days=1)
PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return a world of two accounts that paid for sessions on two days."""
    with ExitStack() as stack:
        if request.param == "postgresql":
            postgres: Postgres = request.getfixturevalue("postgres")
            url = stack.enter_context(postgres.fresh_database())
        else:
            path = tmp_path / "orchestrator.db"
            path.write_bytes(request.getfixturevalue("migrated_sqlite").read_bytes())
            url = f"sqlite:///{path}"
        world = stack.enter_context(World(url))
        world.open_account("other", amount="5")
        for account_id in ("acme", "other", "acme"):
            lives_and_ends(world, account_id)
            world.jump(DAY)
        yield world


def lives_and_ends(world: World, account_id: str) -> str:
    session_id = world.run_session("llama", account_id=account_id)
    world.pass_time(2 * MINUTE)
    world.done("session.close", session_id=session_id)
    world.pass_time(2 * MINUTE)
    return session_id


def run(world: World, statement: str, **named: object) -> int:
    with world.services.database.engine.begin() as connection:
        return connection.execute(text(statement), named).rowcount


def days_of(world: World, account_id: str) -> list[str]:
    with world.services.database.reading() as tx:
        return sorted(str(one.day) for one in tx.cost_audit.days_of([account_id]))


def found(world: World) -> list[Violation]:
    audit_tick(world.services)
    with world.services.database.reading() as tx:
        return [
            one.finding for one in tx.findings.standing(100) if one.finding.check is Invariant.DAILY_COSTS
        ]


def full(world: World) -> list[Violation]:
    return [one for one in audit_everything(world.services).found if one.check is Invariant.DAILY_COSTS]


def test_every_charge_reaches_the_costs_of_its_day(world: World) -> None:
    assert found(world) == []
    assert len(days_of(world, "acme")) == 2


def test_a_row_that_was_changed_by_hand_is_named_with_its_day(world: World) -> None:
    assert found(world) == []
    first, last = days_of(world, "acme")
    change = "UPDATE daily_costs SET amount = amount + 1000000 WHERE account_id = 'acme' AND day = :day"
    assert run(world, change, day=first) == 1
    [finding] = found(world)
    assert finding.subject == f"acme/{first}" < f"acme/{last}"
    assert "counted of model llama at alpha, the ledger has" in finding.detail
    assert full(world) == [finding]
    assert run(world, change.replace("+", "-"), day=first) == 1
    assert found(world) == []


def test_a_charge_that_was_not_counted_is_found_by_its_entry(world: World) -> None:
    """Though its day has no row that could be checked in turn."""
    day = days_of(world, "other")
    assert run(world, "DELETE FROM daily_costs WHERE account_id = 'other'") == 1
    assert [one.subject for one in found(world)] == [f"other/{one}" for one in day]
    assert [one.subject for one in found(world)] == [f"other/{one}" for one in day], "it stands"
    assert [one.subject for one in full(world)] == [f"other/{one}" for one in day]


def test_archived_entries_stay_comparable(world: World) -> None:
    archive(world, SessionRetention.ARCHIVE)
    assert found(world) == [] == full(world)
    run(world, "UPDATE daily_costs SET provider = 'beta' WHERE account_id = 'other'")
    [finding] = found(world)
    assert "at alpha" in finding.detail


def test_days_whose_entries_were_deleted_are_not_compared(world: World) -> None:
    archive(world, SessionRetention.DELETE)
    lives_and_ends(world, "acme")
    assert found(world) == [] == full(world)
    run(world, "UPDATE daily_costs SET entries = entries + 1")
    assert [one.subject for one in found(world)] == [f"acme/{days_of(world, 'acme')[-1]}"]


def test_each_row_is_counted_once_however_often_it_was_looked_at(world: World) -> None:
    for report in (audit_now(world.services), audit_everything(world.services)):
        assert (report.sessions, report.accounts) == (3, 2)


def archive(world: World, sessions: SessionRetention) -> None:
    world.jump(40 * DAY)
    retention = RetentionSettings(sessions=sessions, sessions_kept_days=40)
    worker = replace(world.services, config=replace(world.services.config, retention=retention))
    archived = archive_sessions(worker, rest=lambda _seconds: None)
    assert archived == 3


def test_days_are_checked_a_few_at_a_time_and_again_from_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run checks one day in turn; of those that are over, it has checked the newest before."""
    for _ in range(3):
        found(world)
    monkeypatch.setattr(audit_store, "COST_DAYS", 1)
    run(world, "UPDATE daily_costs SET amount = amount + 1 WHERE account_id = 'other'")
    seen = [bool(found(world)) for _ in range(4)]
    assert seen == sorted(seen), "what is found stands"
    assert seen[-1]


def test_a_day_that_ended_is_checked_before_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found(world)
    monkeypatch.setattr(CostAudit, "days_after", lambda *_: ())
    lives_and_ends(world, "other")
    world.jump(DAY)
    run(world, "UPDATE daily_costs SET amount = amount + 1 WHERE account_id = 'other'")
    assert [one.subject for one in found(world)] == [f"other/{days_of(world, 'other')[-1]}"]


def test_the_statement_of_the_docs_counts_a_day_again(world: World) -> None:
    day = days_of(world, "acme")[0]
    run(world, "UPDATE daily_costs SET amount = 7, provider = 'beta' WHERE account_id = 'acme'")
    assert len(found(world)) == 2
    script = PAGE.partition("### Costs by day")[2].partition("```sql")[2].partition("```")[0]
    for one in script.split(";"):
        statement = one.replace("'2026-11-29'", f"'{day}'")
        if world.services.database.engine.dialect.name == "sqlite":
            statement = re.sub(r"\(l\.at AT TIME ZONE 'UTC'\)::date", "substr(l.at, 1, 10)", statement)
            statement = re.sub(
                r"s\.record #>> '\{session,model_id\}'",
                "json_extract(s.record, '$.session.model_id')",
                statement,
            )
        if statement.strip() and not re.search("BEGIN|COMMIT|FOR UPDATE", statement):
            run(world, statement)
    assert [one.subject for one in found(world)] == [f"acme/{days_of(world, 'acme')[1]}"]


def test_each_query_finds_its_rows_by_an_index(world: World) -> None:
    with statements(world.services.database) as seen:
        audit_now(world.services)
    sqlite = world.services.database.engine.dialect.name == "sqlite"
    with world.services.database.engine.begin() as connection:
        if not sqlite:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        plans = [
            "\n".join(
                str(row[-1])
                for row in connection.exec_driver_sql(
                    ("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + statement, parameters
                )
            )
            for statement, parameters in seen
            if "daily_costs" in statement or "FROM archived_ledger" in statement
        ]
    assert len(plans) >= 5
    assert not any(
        re.search(r"SCAN (daily_costs|ledger|archived_ledger|sessions)\b(?! USING)|Seq Scan", plan)
        for plan in plans
    ), plans
