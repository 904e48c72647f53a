"""A world with a row of every kind, on both databases, restored after each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table, text

from orchestrator.flows.audit.audit_store import audit_store
from orchestrator.flows.operations.archive_sessions import archive_sessions
from orchestrator.flows.operations.deliver_events import deliver_events
from orchestrator.rules.audit.invariants import Invariant
from orchestrator.rules.installation.retention import SessionRetention
from orchestrator.rules.values import Plan
from orchestrator.settings.configuration import RetentionSettings
from orchestrator.store.tables import metadata
from tests.emptying import empty
from tests.servers import Postgres
from tests.world import MINUTE, World

pytestmark = pytest.mark.slow

#: Constraints that would refuse a violation: with a defect of ours they would be missing too.
HINDRANCES = (
    "uq_placements_serving",
    "uq_placements_exclusive",
    "uq_placements_secret",
    "uq_placements_handle",
)
PLANS = {
    "few": Plan(name="few", max_sessions=1),
    "narrow": Plan(name="narrow", max_concurrent=1),
    "slim": Plan(name="slim", max_nodes_total=1),
}


class Scene:
    """`running`, `stopped`, `created` and `stopping` (its close is not proven) are sessions of `acme`; `archived` is a
    session of `past` that ended long ago."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.archived = self._archived()
        world.open_account("idle", amount="5")
        self.stopped = world.run_session("llama")
        world.pass_time(2 * MINUTE)
        world.done("session.close", session_id=self.stopped)
        world.pass_time(MINUTE)
        self.created = world.create_session("llama", start=False)
        self.running = world.run_session("llama", stop={"max_duration_seconds": 36_000})
        self.stopping = world.run_session("moral")
        world.pass_time(5 * MINUTE)
        world.server.fault("close_fails", operation="close")
        world.done("session.close", session_id=self.stopping)
        world.pass_time(MINUTE)
        deliver_events(world.services, [])
        self._before = self._rows()

    def audit(self) -> dict[str, int]:
        """Run the tick; return the open findings by check."""
        audit_store(self.world.services)
        with self.world.services.database.reading() as tx:
            return tx.findings.counts()

    def audit_events(self) -> list[tuple[str, str]]:
        """Return (violated or healed, check), in order."""
        with self.world.services.database.reading() as tx:
            events = [
                event for check in Invariant for event in tx.outbox.tail(subject=check.value, limit=1000)
            ]
        return [
            (event.type.rpartition(".")[2], event.subject) for event in sorted(events, key=lambda e: e.seq)
        ]

    def _archived(self) -> str:
        self.world.open_account("past", amount="5")
        session_id = self.world.run_session("llama", account_id="past")
        self.world.pass_time(2 * MINUTE)
        self.world.done("session.close", session_id=session_id)
        self.world.pass_time(MINUTE)
        self.world.done("session.delete", session_id=session_id)
        self.world.jump(timedelta(days=41))
        retention = RetentionSettings(sessions=SessionRetention.ARCHIVE, sessions_kept_days=40)
        services = self.world.services
        worker = replace(services, config=replace(services.config, retention=retention))
        archived = archive_sessions(worker, rest=lambda _seconds: None)
        assert archived == 1
        return session_id

    def put_back(self) -> None:
        """Restore every row; the audit's own rows stay."""
        with self.world.services.database.engine.begin() as connection:
            kept = {t.name: connection.execute(t.select()).mappings().all() for t in _of_the_audit()}
            empty(connection)
            for table in _of_the_audit():
                if kept[table.name]:
                    connection.execute(table.insert(), [dict(row) for row in kept[table.name]])
            for table in sorted(metadata.sorted_tables, key=_is_counted_by_triggers):
                if _is_counted_by_triggers(table):
                    connection.execute(table.delete())
                if self._before[table.name]:
                    connection.execute(table.insert(), self._before[table.name])

    def _rows(self) -> dict[str, list[dict[str, Any]]]:
        with self.world.services.database.reading() as tx:
            return {
                table.name: [dict(row) for row in tx.connection.execute(table.select()).mappings()]
                if not table.name.startswith("audit_")
                else []
                for table in metadata.sorted_tables
            }


def _is_counted_by_triggers(table: Table) -> bool:
    return table.name in {"session_counts", "session_groups", "next_steps", "daily_costs"}


def _of_the_audit() -> list[Table]:
    return [table for table in metadata.sorted_tables if table.name.startswith("audit_")]


@pytest.fixture(scope="module")
def scenes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Scene]]:
    """Return one scene for each database, made at its first use."""
    made: dict[str, Scene] = {}
    with ExitStack() as stack:

        def scene_on(name: str) -> Scene:
            if name not in made:
                made[name] = _made(stack, request, tmp_path_factory, name)
            return made[name]

        yield scene_on


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, scenes: Callable[[str], Scene]) -> Iterator[Scene]:
    """Run the same test on both databases."""
    scene = scenes(request.param)
    yield scene
    scene.put_back()


def _made(
    stack: ExitStack, request: pytest.FixtureRequest, paths: pytest.TempPathFactory, name: str
) -> Scene:
    world = stack.enter_context(World(_url(stack, request, paths, name), plans=PLANS))
    scene = Scene(world)
    with world.services.database.engine.begin() as connection:
        for index in HINDRANCES:
            connection.execute(text(f"DROP INDEX {index}"))
        if name == "sqlite":
            connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        else:
            for table in ("sessions", "placements"):
                connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_live_has_step"))
            for constraint in ("closed_has_proof", "state_known"):
                connection.execute(text(f"ALTER TABLE placements DROP CONSTRAINT ck_placements_{constraint}"))
    return scene


def _url(stack: ExitStack, request: pytest.FixtureRequest, paths: pytest.TempPathFactory, name: str) -> str:
    if name == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        return stack.enter_context(postgres.fresh_database())
    path = paths.mktemp("audit") / "orchestrator.db"
    path.write_bytes(request.getfixturevalue("migrated_sqlite").read_bytes())
    return f"sqlite:///{path}"
