"""A key of ours that another program wrote is named, and loses no job: a job that cannot be noted as taken goes
back."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from kombu import Connection
from kombu.transport.redis import Channel, Transport
from redis import Redis
from redis.exceptions import ResponseError

from orchestrator.client.options import JOBS_QUEUE, direct_queue
from orchestrator.tasks.broker_keys import expected_types, wrong_keys
from orchestrator.tasks.entries import guarded_transport
from orchestrator.tasks.parking import Parking

WAIT = 5
MUTEX = Channel.unacked_mutex_key


@pytest.fixture
def redis(valkey_url: str) -> Iterator["Redis"]:
    with Redis.from_url(valkey_url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def connection(valkey_url: str) -> Iterator[Connection]:
    """Return a worker's connection."""
    with Connection(valkey_url, transport=guarded_transport(Transport, cast("Parking", None))) as connection:
        yield connection


def consumed(connection: Connection) -> Any:
    """Take one message from the queue of jobs, and acknowledge it."""
    taken: list[Any] = []
    with connection.Consumer(
        [direct_queue(JOBS_QUEUE)], on_message=taken.append, channel=connection.channel()
    ):
        connection.drain_events(timeout=WAIT)
    taken[0].ack()
    return taken[0].payload


@pytest.mark.parametrize("key", expected_types())
def test_a_key_of_another_type_is_named(key: str, redis: "Redis") -> None:
    assert wrong_keys(redis) == []
    redis.xadd(key, {"a": "b"}) if expected_types()[key] != "stream" else redis.set(key, "theirs")
    [wrong] = wrong_keys(redis)
    assert f"`{key}`" in wrong
    assert f"must be a {expected_types()[key]}" in wrong


def test_what_kombu_writes_is_right(redis: "Redis", connection: Connection) -> None:
    queue = direct_queue(JOBS_QUEUE)
    with connection.Producer() as producer:
        producer.publish(
            {"n": 1}, exchange=queue.exchange, routing_key=JOBS_QUEUE, declare=[queue], priority=9
        )
    with redis.lock(MUTEX, timeout=60):
        assert wrong_keys(redis) == []
        assert len(redis.keys("*")) == 4
        assert {key.decode() for key in cast("list[bytes]", redis.keys("*"))} <= expected_types().keys()


def test_a_lock_that_never_ends_is_named(redis: "Redis") -> None:
    redis.set(MUTEX, "theirs")
    [wrong] = wrong_keys(redis)
    assert "must expire" in wrong


@pytest.mark.parametrize("key", [Channel.unacked_key, Channel.unacked_index_key])
def test_a_job_that_cannot_be_noted_as_taken_goes_back_to_its_queue(
    key: str, redis: "Redis", connection: Connection
) -> None:
    queue = direct_queue(JOBS_QUEUE)
    with connection.Producer() as producer:
        producer.publish({"n": 1}, exchange=queue.exchange, routing_key=JOBS_QUEUE, declare=[queue])
    redis.set(key, "theirs")
    for _ in range(3):
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            consumed(connection)
        assert redis.llen(JOBS_QUEUE) == 1
    redis.delete(key)
    assert consumed(connection) == {"n": 1}
    assert not redis.exists(JOBS_QUEUE, Channel.unacked_key, Channel.unacked_index_key)
