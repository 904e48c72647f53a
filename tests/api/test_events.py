"""Events over HTTP: pages, and a stream that resumes without loss and without doubles."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from orchestrator.api import feed, listening_tokens
from orchestrator.api.positions import GIVE_UP_AFTER, MOST_GAPS, Position, position_of
from orchestrator.api.process import ApiProcess
from orchestrator.api.routes.events import _stream
from orchestrator.rules.values import Scope
from tests.api.stage import Api, answered, events_of
from tests.rules.builders import T0
from tests.world import World

SECOND = timedelta(seconds=1)
OLD = T0 - GIVE_UP_AFTER - SECOND


def eventually(look: Callable[[], Any], wait_limit: float = 30) -> Any:
    give_up_at = time.monotonic() + wait_limit
    while not (seen := look()):
        assert time.monotonic() < give_up_at, "in vain"
        time.sleep(0.02)
    return seen


def kinds(messages: Any, count: int) -> list[str]:
    """Return the types of the next events."""
    return [one["event"].rpartition(".")[2] for one in islice(messages, count)]


# positions


def test_a_place_that_is_filled_late_is_read_once() -> None:
    position = Position(5).read(8, T0, T0)
    assert (position.after, sorted(position.gaps)) == (8, [6, 7])
    assert [position.has(place) for place in (5, 6, 7, 8, 9)] == [True, False, False, True, False]
    position = position.read(7, T0, T0)
    assert (position.after, sorted(position.gaps)) == (8, [6])
    assert position_of(str(position)) == position


def test_a_place_that_stays_empty_is_given_up() -> None:
    position = Position(5).read(7, T0, T0)
    assert position.without_old_gaps(T0 + GIVE_UP_AFTER).gaps == {6}
    assert position.without_old_gaps(T0 + GIVE_UP_AFTER + 2 * SECOND) == Position(7)
    assert Position(5).read(7, T0, OLD) == Position(7), "nothing before an old event can still appear"


def test_a_jump_of_the_sequence_leaves_few_places_to_wait_for() -> None:
    position = Position(5).read(10**6, T0, T0).read(10**6 + 10, T0, T0)
    assert len(position.gaps) == MOST_GAPS
    assert len(str(position)) < 2500
    assert position_of(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1@", "1@2", "1@2.x", "1.2", "1" * 19, "²", "1@2." + ".1" * 101]
)
def test_a_text_that_is_no_position(text: str) -> None:
    assert position_of(text) is None


def test_a_position_holds_no_gap_beyond_itself() -> None:
    assert position_of("5@1.3.5.9") == Position(5, frozenset({3}), 1)


# pages


def test_events_are_read_page_by_page_and_polled(any_api: Api) -> None:
    api = any_api
    session_id = api.world.run_session(name="one")
    page = api.get("/events", limit=2)
    seen = page["items"]
    while page["items"]:
        page = api.get("/events", limit=2, after=page["next"])
        seen += page["items"]
    mine = [one for one in seen if one["subject"] == session_id]
    assert [one["type"].rpartition(".")[2] for one in mine] == api.world.events(session_id)
    api.create(name="two", start=False)
    [one] = api.get("/events", after=page["next"])["items"]
    assert (one["type"], one["data"]["name"]) == ("orchestrator.session.created", "two")


def test_events_are_filtered(api: Api) -> None:
    session_id = api.world.run_session(name="one")
    other = api.create(name="two", start=False)

    def types(**query: Any) -> list[str]:
        return [one["type"] for one in api.get("/events", **query)["items"]]

    assert types(subject=other) == ["orchestrator.session.created"]
    assert types(type="orchestrator.session.running") == ["orchestrator.session.running"]
    assert set(types(type="orchestrator.account")) == {"orchestrator.account.credited"}
    assert types(type="orchestrator.sess") == []
    assert len(types(account="acme")) == len(types())
    assert len(types(subject=session_id)) == len(api.world.events(session_id))
    assert api.get("/events", status=422, after="x")["faults"][0]["loc"] == "after"


def test_a_position_whose_events_were_deleted_is_refused(api: Api) -> None:
    for n in range(3):
        api.create(name=f"s{n}", start=False)
    api.get("/events", after="1")
    with api.world.services.database.engine.begin() as connection:
        connection.execute(text("DELETE FROM outbox WHERE seq < 3"))
    assert api.get("/events", status=410, after="1")["code"] == "events_gone"
    assert len(api.get("/events", after="2")["items"]) > 0
    assert len(api.get("/events")["items"]) > 0, "without a position it begins with the oldest"
    with httpx.Client(base_url=f"{api.url}/v1", headers=api.operator.headers, trust_env=False) as client:
        stream = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
        assert answered(client.get("/events", headers=stream), 410)["code"] == "events_gone"


# streams


def test_a_stream_brings_what_happens_and_resumes_where_it_was(any_api: Api) -> None:
    api = any_api
    api.create(name="before", start=False)
    with events_of(api.operator, type="orchestrator.session") as messages:
        session_id = api.create(name="one")
        api.world.settle()
        first = [next(messages), next(messages)]
    assert [one["event"].rpartition(".")[2] for one in first] == ["created", "starting"]
    assert '"name":"one"' in first[0]["data"]
    api.post(f"/sessions/{session_id}/close")
    api.world.settle()
    with events_of(api.operator, last=first[-1]["id"], type="orchestrator.session") as messages:
        assert kinds(messages, 3) == ["running", "stopping", "stopped"]
        api.create(name="two", start=False)
        assert kinds(messages, 1) == ["created"]
    with events_of(api.operator, last=first[0]["id"], type="orchestrator.session") as messages:
        assert kinds(messages, 5) == ["starting", "running", "stopping", "stopped", "created"]


def test_a_stream_that_is_cut_before_its_first_event_resumes_without_loss(any_api: Api) -> None:
    api = any_api
    api.create(name="before", start=False)
    stream = {"Accept": "text/event-stream"}
    with api.operator.stream("GET", "/events", headers=stream) as response:
        said = list(islice(response.iter_lines(), 2))
    api.create(name="meanwhile", start=False)
    with events_of(api.operator, last=said[1].removeprefix("id: ")) as messages:
        assert '"name":"meanwhile"' in next(messages)["data"]


def test_a_stream_of_one_account_has_no_event_of_another(api: Api) -> None:
    answered(api.operator.put("/accounts/other", json={"plan": "payg", "currency": "USD"}))
    api.post("/accounts/other/credits", {"amount": "5", "currency": "USD", "key": "k"})
    with events_of(api.client(Scope.READ, account="acme")) as messages:
        api.create(account_id="other", name="theirs", start=False)
        api.create(name="mine", start=False)
        message = next(messages)
    assert '"name":"mine"' in message["data"]
    with events_of(api.client(Scope.READ, account="other"), last="0") as messages:
        found = [next(messages), next(messages)]
    assert [one["event"].rpartition(".")[2] for one in found] == ["credited", "created"]


def test_a_transaction_that_commits_late_is_neither_lost_nor_doubled(postgres_url: str) -> None:
    with World(postgres_url) as world, Api(world) as api:
        api.create(name="before", start=False)
        database = world.services.database
        with database.engine.connect() as late, events_of(api.operator) as messages:
            eventually(lambda: api.process.feed.reads)
            late.execute(text(_INSERT), {"id": "late", "data": json.dumps(_BRAKED)})
            api.create(name="early", start=False)
            early = next(messages)
            with events_of(api.operator, last=early["id"]) as resumed:
                late.commit()
                assert next(messages)["data"].startswith('{"specversion":"1.0","id":"late"')
                message = next(resumed)
                assert message["data"].startswith('{"specversion":"1.0","id":"late"')
        with events_of(api.operator, last=message["id"]) as after:
            api.create(name="after", start=False)
            assert '"name":"after"' in next(after)["data"]
        pages = api.get("/events", after=early["id"])["items"]
        assert pages[0]["id"] == "late"


_BRAKED = {
    "provider": "alpha",
    "credential": None,
    "reason": "a test",
    "since": None,
    "until": None,
    "at": None,
}
_INSERT = """
INSERT INTO outbox (id, type, subject, time, data)
VALUES (:id, 'orchestrator.provider.braked', 'alpha', '2026-01-01T12:00:00Z', :data)
"""


def test_many_listeners_cost_one_reader(api: Api) -> None:
    listeners = 40
    begun = threading.Barrier(listeners + 1)
    done: list[str] = []

    def listen() -> None:
        client = api.client_with(token)
        with events_of(client) as messages:
            begun.wait(60)
            done.append(next(messages)["event"])

    token = api.token(Scope.READ)
    threads = [threading.Thread(target=listen) for _ in range(listeners)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    reads = api.process.feed.reads
    began = time.monotonic()
    api.create(start=False)
    for thread in threads:
        thread.join(60)
    spent = time.monotonic() - began
    assert done == ["orchestrator.session.created"] * listeners
    assert api.process.feed.reads - reads <= spent / 0.2 + 2


def test_a_thousand_streams_cost_one_reader(world: World) -> None:
    streams = 1_000

    async def story() -> tuple[list[str], int, float]:
        process = ApiProcess(world.services, world.webhooks)
        open_now = [_stream(process, lambda _event: True, None) for _ in range(streams)]
        first = [await anext(stream) for stream in open_now]
        assert all(one.startswith(": events from ") for one in first)
        reads, began = process.feed.reads, time.monotonic()
        await process.change(lambda: world.create_session(start=False))
        said = list(await asyncio.gather(*(anext(stream) for stream in open_now)))
        spent = time.monotonic() - began
        for stream in open_now:
            await stream.aclose()
        return said, process.feed.reads - reads, spent

    said, reads, spent = asyncio.run(story())
    assert len(said) == streams
    assert len(set(said)) == 1, "each is encoded once"
    assert "event: orchestrator.session.created\n" in said[0]
    assert reads <= spent / feed.EVERY + 2


def test_nothing_is_read_while_nothing_listens(api: Api) -> None:
    with events_of(api.operator) as messages:
        api.create(start=False)
        next(messages)
    eventually(lambda: api.process.feed._reader is None)
    reads = api.process.feed.reads
    time.sleep(0.5)
    assert api.process.feed.reads == reads


def test_a_stream_ends_with_its_token(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening_tokens, "CHECKED_EVERY", 0.1)
    text = api.token(Scope.READ)
    with events_of(api.operator) as others, events_of(api.client_with(text)) as messages:
        api.create(start=False)
        assert next(messages)["event"] == "orchestrator.session.created"
        api.world.services.database.transact(lambda tx: tx.tokens.revoke(text.split("_")[1], tx.now()))
        ended = [one for one in messages if "event" in one]  # it ends: nothing else does
        assert ended == []
        api.create(start=False)
        assert kinds(others, 2) == ["created", "created"]


def test_a_token_is_checked_while_it_has_a_stream() -> None:
    now = [0.0]
    tokens = listening_tokens.ListeningTokens(lambda: now[0])
    with tokens.with_stream_of("a"), tokens.with_stream_of(None):
        assert tokens.to_check() == ()
        now[0] = listening_tokens.CHECKED_EVERY
        with tokens.with_stream_of("a"), tokens.with_stream_of("b"):
            assert set(tokens.to_check()) == {"a", "b"}
            tokens.checked(["a", "b"], ["b"])
            assert (tokens.take_news(), tokens.take_news()) == (True, False)
        assert (tokens.has_ended("a"), tokens.has_ended("b"), tokens.has_ended(None)) == (True, False, False)
        assert tokens.to_check() == ()
        now[0] *= 2
        assert tokens.to_check() == ("a",)
    assert tokens.to_check() == ()


def test_a_reader_that_fails_once_goes_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    real = feed.events_behind
    failed: list[bool] = []

    def fail_once(*arguments: Any) -> Any:
        if not failed:
            failed.append(True)
            raise RuntimeError("of the test")
        return real(*arguments)

    monkeypatch.setattr(feed, "AFTER_FAILURE", 0.01)
    with events_of(api.operator) as messages:
        monkeypatch.setattr(feed, "events_behind", fail_once)
        eventually(lambda: failed)
        api.create(start=False)
        assert next(messages)["event"] == "orchestrator.session.created"


def test_a_listener_that_is_too_slow_must_resume() -> None:
    slow = feed.Feed(_reads_nothing, asyncio.Event())
    slow._keep([_event(place) for place in range(1, feed.KEPT + 1)])
    assert len(slow.since(0)) == feed.KEPT
    slow._keep([_event(feed.KEPT + 1)])
    assert [one.place for one in slow.since(feed.KEPT)] == [feed.KEPT + 1]
    with pytest.raises(feed.TooSlow):
        slow.since(0)


async def _reads_nothing(_work: Any) -> Any:
    raise AssertionError


def _event(place: int) -> feed.FeedEvent:
    at = Position(place)
    return feed.FeedEvent(place=place, position=at, type="t", subject="s", account_id=None, data="{}")
