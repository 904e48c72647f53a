"""What other services read: events in their order, and sessions as JSON."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from orchestrator.flows.operations.deliver_events import deliver_events, with_the_log
from orchestrator.observability import metrics
from orchestrator.rules.states import State
from orchestrator.store.database import StoreUnavailable
from orchestrator.store.queries.leases import Leases
from tests.flows.conftest import MakeWorld
from tests.world import HOUR, MINUTE, SECOND, World

pytestmark = pytest.mark.slow

CONTRACT = {
    *("id", "account_id", "name", "description", "model_id", "nodes", "state", "stop_reason", "stop_detail"),
    *(
        "created_at",
        "running_at",
        "stop_at",
        "stop_at_reason",
        "ended_at",
        "interactions",
        "cost",
        "currency",
    ),
    *("provider", "placement", "endpoint", "failover", "queue_position", "next_step", "next_step_at"),
    *("last_ping", "unproven_since", "money_at_risk", "metadata"),
}
ADDED = {"archived_at", "busy_since", "forced_closes", "queue_reason", "deleted_at", "price_per_node_hour"}


class _Sink:
    def __init__(self) -> None:
        self.got: list[Mapping[str, Any]] = []

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.got += events


def _data(world: World, subject: str, kind: str) -> list[Mapping[str, Any]]:
    with world.services.database.reading() as tx:
        events = tx.outbox.tail(subject=subject, limit=1000)
    return [event.data for event in events if event.type.endswith(kind)]


def test_a_user_is_warned_once_for_each_threshold(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 1200})
    world.pass_time(HOUR)
    warned = _data(world, session_id, "expiring")
    assert [data["seconds_left"] for data in warned] == [900, 300, 60]
    assert {data["stop_at"] for data in warned} == {"2026-01-01T12:20:00Z"}


def test_a_stop_that_moves_is_warned_of_anew(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 1200})
    world.pass_time(16 * MINUTE)
    world.done("session.extend", session_id=session_id, max_duration_seconds=2400)
    world.pass_time(HOUR)
    seconds = [data["seconds_left"] for data in _data(world, session_id, "expiring")]
    assert seconds == [900, 300, 900, 300, 60]


def test_a_short_session_is_warned_of_what_is_still_to_come(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 120})
    world.pass_time(5 * MINUTE)
    assert [data["seconds_left"] for data in _data(world, session_id, "expiring")] == [60]


def test_warnings_that_were_slept_through_are_reported_as_one(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 1200})
    world.jump(16 * MINUTE)
    world.settle()
    assert [data["seconds_left"] for data in _data(world, session_id, "expiring")] == [300]


def test_a_whole_life_has_its_events_in_order(any_world: MakeWorld) -> None:
    world = any_world()
    session_id = world.run_session("moral", stop={"max_duration_seconds": 600})
    world.server.fault("dead", operation="chat", times=2)
    world.server.fault("close_fails", operation="close")
    world.pass_time(15 * MINUTE)
    world.server.clear_faults()
    world.pass_time(15 * MINUTE)
    world.done("session.delete", session_id=session_id)
    assert world.events(session_id) == [
        "created",
        "starting",
        "running",
        "suspect",
        "recovered",
        "expiring",
        "expiring",
        "stopping",
        "unproven",
        "stopped",
        "deleted",
    ]


def test_events_are_delivered_in_order_as_cloud_events(world: World) -> None:
    sink = _Sink()
    deliver_events(world.services, [sink])
    sink.got.clear()
    session_id = world.run_session()
    tally = deliver_events(world.services, [sink])
    assert tally.settled == 3
    assert [event["type"] for event in sink.got] == [
        f"orchestrator.session.{kind}" for kind in ("created", "starting", "running")
    ]
    assert {event["subject"] for event in sink.got} == {session_id}
    assert {event["specversion"] for event in sink.got} == {"1.0"}
    tally = deliver_events(world.services, [sink])
    assert tally.settled == 0


def test_a_delivery_ends_with_a_batch_that_is_not_full(world: World) -> None:
    deliver_events(world.services, [])

    class Busy(_Sink):
        """Each event that arrives is followed by another session."""

        def send(self, events: Sequence[Mapping[str, Any]]) -> None:
            super().send(events)
            world.create_session(start=False)

    world.create_session(start=False)
    sink = Busy()
    first, second = (deliver_events(world.services, [sink]).settled for _ in range(2))
    assert (first, second) == (1, 1), "what came meanwhile is left to the next run"


def test_a_lease_that_cannot_be_given_back_hides_no_error_of_a_sink(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Down(_Sink):
        """The broker is down, and then the database too."""

        def send(self, events: Sequence[Mapping[str, Any]]) -> None:
            monkeypatch.setattr(Leases, "give_back", fails)
            raise ConnectionError("the broker is down")

    def fails(*_: object) -> None:
        raise StoreUnavailable("the database is down")

    world.create_session(start=False)
    with pytest.raises(ConnectionError, match="the broker is down"):
        deliver_events(world.services, [Down()])
    assert "cannot give back the lease deliver_events (StoreUnavailable)" in caplog.text
    monkeypatch.undo()
    world.jump(MINUTE)
    sink = _Sink()
    deliver_events(world.services, [sink])
    assert sink.got, "delivery continues once the lease has expired"


class _DownAtFirst(_Sink):
    """The stream of a broker that is down for two deliveries."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 2

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        self.left -= 1
        if self.left >= 0:
            raise ConnectionError("the broker is down")
        super().send(events)


def test_an_event_is_logged_and_counted_once_however_often_its_delivery_fails(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = world.run_session()
    world.done("session.close", session_id=session_id)
    world.settle()
    stops = metrics.STOPS.labels("user")._value
    before, sink = stops.get(), _DownAtFirst()
    with caplog.at_level(logging.INFO, logger="orchestrator.flows.operations.deliver_events"):
        for worker in (world.services, world.another_worker()):  # neither waits for the lease of the other
            with pytest.raises(ConnectionError):
                deliver_events(worker, with_the_log(sink))
        assert (caplog.messages, stops.get()) == ([], before), "nothing is delivered"
        deliver_events(world.services, with_the_log(sink))
    logged = [text for text in caplog.messages if session_id in text]
    assert len(logged) == len(set(logged)) == len(world.events(session_id))
    assert len(sink.got) == len(caplog.messages)
    assert stops.get() == before + 1


def test_a_session_reads_the_same_in_every_state(world: World) -> None:
    seen = {}

    def look(session_id: str) -> Mapping[str, Any]:
        view = world.view(session_id)
        assert set(view) == CONTRACT | ADDED
        assert (view["endpoint"] is not None) == (view["state"] == "running")
        seen[view["state"]] = view
        return view

    created = look(world.create_session(start=False, metadata={"team": "blue"}))
    assert (created["metadata"], created["placement"], created["stop_at"]) == ({"team": "blue"}, None, None)
    session_id = world.create_session("moral")
    assert look(session_id)["placement"]["handle"] is None
    world.settle()
    running = look(session_id)
    assert running["endpoint"]["auth"] == "bearer"
    assert running["last_ping"]["verdict"] == "ALIVE"
    assert running["placement"]["handle"] == world.server.open_sessions()[0].id
    other = world.run_session()
    new_id = world.create_session(on_quota="queue")
    assert look(new_id)["queue_position"] == 1
    world.done("session.close", session_id=session_id)
    look(session_id)
    world.pass_time(2 * SECOND)
    assert look(session_id)["ended_at"] is not None
    world.done("session.close", session_id=other)
    world.put_model("lost", {"alpha": "unlisted"})
    world.settle()
    failed = world.create_session("lost", on_quota="queue")
    world.pass_time(2 * HOUR)
    look(failed)
    assert set(seen) == {state.value for state in State}


def test_no_secret_is_ever_reported(world: World) -> None:
    session_id = world.run_session("moral")
    world.server.fault("unauthorized", operation="chat")
    world.pass_time(5 * MINUTE)
    reported = repr((world.view(session_id), _data(world, session_id, ""), world.placements(session_id)))
    assert not any(secret in reported for secret in world.secrets.values())
