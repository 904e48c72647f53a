"""A row that another release or a hand has made unreadable is reported, and hides no other."""

import pytest
from sqlalchemy import text, update

from orchestrator.flows.audit.audit_store import audit_everything
from orchestrator.rules.audit.invariants import Invariant
from orchestrator.store.queries.audit import SESSIONS
from tests.audit.conftest import Scene
from tests.world import HOUR

#: The garbled column, its session, and the new value: JSON of another shape, a state that this release does not know.
GARBLED = [
    ("sessions.attach", "running", "UPDATE sessions SET attach = '[7]' WHERE id = :id"),
    ("placements.state", "stopped", "UPDATE placements SET state = 'mislaid' WHERE session_id = :id"),
    (
        "placements.state",
        "stopping",
        "UPDATE placements SET state = 'mislaid', forced_at = closing_since WHERE session_id = :id",
    ),
]


@pytest.mark.parametrize(("column", "whose", "statement"), GARBLED, ids=["session", "placement", "at once"])
def test_it_is_reported_with_its_column_and_all_others_are_judged(
    scene: Scene, column: str, whose: str, statement: str
) -> None:
    garble(scene, whose, statement)
    late = update(SESSIONS).where(SESSIONS.c.id == scene.created).values(deleted_at=None, lease_token="t")
    with scene.world.services.database.engine.begin() as connection:
        connection.execute(late.values(lease_until=scene.world.clock.now + HOUR))
    assert scene.audit() == {"rows": 1, "leases": 1}
    found = {one.check: one for one in audit_everything(scene.world.services).found}
    assert found[Invariant.ROWS].subject == getattr(scene, whose)
    assert found[Invariant.ROWS].detail == f"it cannot be read: {column}"
    assert found[Invariant.LEASES].subject == scene.created


def test_an_event_is_reported_by_its_session(scene: Scene) -> None:
    if scene.world.services.database.engine.dialect.name == "postgresql":
        return  # it takes only JSON
    garble(scene, "stopped", "UPDATE outbox SET data = '{' WHERE subject = :id")
    assert scene.audit() == {"rows": 1}
    [found] = audit_everything(scene.world.services).found
    assert (found.subject, found.detail) == (scene.stopped, "it cannot be read: outbox.data")


def test_an_orphan_is_reported_by_itself(scene: Scene) -> None:
    [placement] = scene.world.placements(scene.stopped)
    garble(
        scene,
        "stopped",
        "UPDATE placements SET state = 'mislaid', forced_at = created_at, session_id = NULL WHERE session_id = :id",
    )
    assert scene.audit()["rows"] == 1
    found = [one for one in audit_everything(scene.world.services).found if one.check is Invariant.ROWS]
    assert [one.subject for one in found] == [placement.id]


def garble(scene: Scene, whose: str, statement: str) -> None:
    with scene.world.services.database.engine.begin() as connection:
        assert connection.execute(text(statement), {"id": getattr(scene, whose)}).rowcount
