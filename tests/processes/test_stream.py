"""Events in the Redis stream."""

from itertools import islice

import pytest
from fakeredis import FakeRedis

from orchestrator.client.stream import STREAM, EventStream, connect


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis(decode_responses=True)


def event(n: int) -> dict[str, object]:
    return {"id": str(n), "type": "orchestrator.session.running", "data": {"name": "Grüße", "cost": "0.10"}}


def test_events_are_appended_in_order_and_read_back_whole(redis: FakeRedis) -> None:
    stream = EventStream(redis)
    stream.send([event(1), event(2)])
    stream.send([event(3)])
    assert list(islice(stream.follow("0"), 3)) == [event(1), event(2), event(3)]
    assert redis.xlen(STREAM) == 3


def test_nothing_to_send_is_sent_as_nothing(redis: FakeRedis) -> None:
    EventStream(redis).send([])
    assert not redis.exists(STREAM)


def test_a_reader_goes_on_after_what_it_has_seen(redis: FakeRedis) -> None:
    stream = EventStream(redis)
    stream.send([event(n) for n in range(250)])
    reader = stream.follow("0", block_ms=1)
    assert [seen["id"] for seen in islice(reader, 250)] == [str(n) for n in range(250)]
    stream.send([event(250)])
    assert next(reader)["id"] == "250"


@pytest.mark.parametrize(
    ("url", "speaks"),
    [
        ("redis://127.0.0.1:1/0", True),
        ("rediss://127.0.0.1:1/0", True),
        ("redis+socket:///run/valkey.sock", True),
        ("amqp://127.0.0.1", False),
    ],
)
def test_only_a_redis_has_a_stream(url: str, speaks: bool) -> None:
    assert (connect(url) is not None) is speaks
