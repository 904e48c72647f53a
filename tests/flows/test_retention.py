"""Events that have been delivered are kept for a while; then they are deleted, and the audit allows for that."""

from sqlalchemy import select

from orchestrator.flows.audit.audit_store import audit_everything
from orchestrator.flows.operations.deliver_events import deliver_events
from orchestrator.flows.operations.housekeeping import forget_old_events, forget_old_outcomes
from orchestrator.store.plain import table_of
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE


def test_delivered_events_go_after_a_month_and_nobody_is_accused_of_their_lack(any_world: MakeWorld) -> None:
    world = any_world()
    session_id = world.run_session(stop={"max_duration_seconds": 600})
    world.pass_time(20 * MINUTE)
    assert world.events(session_id)[-1] == "stopped"
    world.jump(29 * 24 * HOUR)
    forgotten = forget_old_events(world.services)
    assert forgotten == 0
    world.jump(2 * 24 * HOUR)
    forgotten = forget_old_events(world.services)
    assert forgotten == 0, "not delivered yet"
    deliver_events(world.services, [])

    forgotten = forget_old_events(world.services)
    assert forgotten > 4
    assert world.events(session_id) == ["stopped"], (
        "the newest stays, so that places in the order never come again"
    )
    assert audit_everything(world.services).found == []
    young = world.create_session(start=False)
    forgotten = forget_old_events(world.services)
    assert forgotten == 1, "another is the newest now"
    assert world.events(young) == ["created"]


def test_outcomes_go_after_a_month_however_many_they_are(any_world: MakeWorld) -> None:
    """At three jobs a second an hour has more than a batch holds."""
    world, inbox = any_world(), table_of("inbox")
    rows = [
        {"task_id": f"old-{n}", "name": "n", "received_at": world.clock.now, "outcome": {}}
        for n in range(12_000)
    ]
    world.jump(31 * 24 * HOUR)
    with world.services.database.engine.begin() as connection:
        connection.execute(inbox.insert(), rows)
        connection.execute(
            inbox.insert().values(rows[0] | {"task_id": "new", "received_at": world.clock.now})
        )
    forgotten = forget_old_outcomes(world.services)
    assert forgotten >= 12_000
    with world.services.database.reading() as tx:
        assert tx.connection.execute(select(inbox.c.task_id)).scalars().all() == ["new"]
