"""Every entry in Redis' hash of unacknowledged messages goes back or is parked, and none ends a worker."""

import json
import logging
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from kombu import Connection
from kombu.transport.redis import Transport
from redis import Redis

from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.settings import Settings
from orchestrator.tasks.app import make_app
from orchestrator.tasks.entries import guarded_transport
from orchestrator.tasks.parking import RefusedMessage
from orchestrator.tasks.unacked import NO_QUEUE
from tests.processes.raw_messages import JOBS, STRANGE, Json, valid
from tests.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # celery's own
SECRET = "sk-planted"


def entry(message: Any, exchange: Any = "", routing_key: Any = JOBS) -> bytes:
    return json.dumps([message, exchange, routing_key]).encode()


def changed(**changes: Any) -> Json:
    return valid() | changes


#: Every one of these is parked, from this queue.
WRONG: Mapping[str, tuple[bytes, str]] = {
    "one value": (b"[1]", NO_QUEUE),
    "no JSON": (b"not json " + SECRET.encode(), NO_QUEUE),
    "nothing": (b"", NO_QUEUE),
    "no text": (b"\x00\xff\xfe", NO_QUEUE),
    "object": (b"{}", NO_QUEUE),
    "null": (b"null", NO_QUEUE),
    "no names": (b"[{}, 1, 2]", NO_QUEUE),
    "four values": (json.dumps([valid(), "", JOBS, 1]).encode(), NO_QUEUE),
    "three letters": (b'"abc"', NO_QUEUE),
    "three keys": (b'{"a": 1, "b": 2, "c": 3}', NO_QUEUE),
    "deep": (b"[" * 100_000, NO_QUEUE),
    "deep and whole": (b"[" * 100_000 + b"]" * 100_000, NO_QUEUE),
    "one of kombu's own types": (b'{"__type__": "decimal", "__value__": "x"}', NO_QUEUE),
    "no queue": (entry(valid(), "", None), NO_QUEUE),
    "queue with a lone surrogate": (entry(valid(), "", "\ud800"), NO_QUEUE),
    "queue a list": (entry(valid(), "", [JOBS]), NO_QUEUE),
    "exchange unknown": (entry(valid(), "unknown", JOBS), JOBS),
    "exchange a list": (entry(valid(), [], JOBS), NO_QUEUE),
    "message null": (entry(None), JOBS),
    "message text": (entry(SECRET), JOBS),
    "message a list": (entry([valid()]), JOBS),
    "message empty": (entry({}), JOBS),
    "message of another's queue": (entry({}, "", "theirs"), NO_QUEUE),
    "headers a list": (entry(changed(headers=[SECRET])), JOBS),
    "properties text": (entry(changed(properties=SECRET)), JOBS),
    "delivery_info text": (entry(changed(properties={"delivery_info": SECRET})), JOBS),
    "body an object": (entry(changed(body={SECRET: 1})), JOBS),
}
#: Every one of these goes back to its queue.
SOUND: Mapping[str, tuple[bytes, str]] = {
    "as kombu writes it": (entry(valid()), JOBS),
    "another's": (entry(valid(queue="theirs"), "", "theirs"), "theirs"),
    "no headers": (entry(changed(headers=None)), JOBS),
    "no delivery_info": (entry(changed(properties={"body_encoding": "base64", "delivery_info": None})), JOBS),
    "priority without end": (entry(changed(properties={"priority": 1e400, "body_encoding": "base64"})), JOBS),
}


class Parks:
    """Remembers what is parked."""

    def __init__(self) -> None:
        self.parked: list[RefusedMessage] = []

    def park(self, refused: RefusedMessage) -> None:
        self.parked.append(refused)


@pytest.fixture
def redis(valkey_url: str) -> Iterator["Redis"]:
    with Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def channel(valkey_url: str) -> Iterator[Any]:
    """Return the channel of a worker's connection; `channel.parks` is where it parks."""
    parks: Any = Parks()
    with Connection(valkey_url, transport=guarded_transport(Transport, parks)) as connection:
        channel: Any = connection.channel()
        channel.parks = parks
        yield channel


def plant(redis: "Redis", tag: Any, value: bytes) -> None:
    """Plant a message as if a worker had taken it long ago, and died."""
    redis.hset("unacked", tag, value)
    redis.zadd("unacked_index", {tag: 0})


def is_clean(redis: "Redis") -> bool:
    return not redis.hlen("unacked") and not redis.zcard("unacked_index")


@pytest.mark.parametrize("shape", WRONG)
def test_an_entry_of_another_shape_is_parked_and_no_longer_unacknowledged(
    shape: str, redis: "Redis", channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    value, queue = WRONG[shape]
    plant(redis, "tag", value)
    channel.qos.restore_visible(interval=1)
    [parked] = channel.parks.parked
    assert (parked.queue, parked.sendable) == (queue, queue == JOBS)
    assert is_clean(redis)
    assert not redis.llen(JOBS)
    assert SECRET not in parked.reason + caplog.text


@pytest.mark.parametrize("shape", SOUND)
def test_a_sound_entry_goes_back_to_its_queue(shape: str, redis: "Redis", channel: Any) -> None:
    value, queue = SOUND[shape]
    plant(redis, b"\xff", value)
    channel.qos.restore_visible(interval=1)
    assert channel.parks.parked == []
    assert is_clean(redis)
    backs: Any = redis.lrange(queue, 0, -1)
    [back] = backs
    message = json.loads(back)
    assert message["body"] == valid()["body"]
    assert message["properties"]["delivery_info"] == {
        "exchange": "",
        "routing_key": queue,
        "redelivered": True,
    }


def test_any_entry_that_is_generated_goes_back_or_is_parked(redis: "Redis", channel: Any) -> None:
    rng = random.Random(7)
    count = 300
    for n in range(count):
        values: list[Any] = [valid(), "", JOBS]
        values[rng.randrange(3)] = rng.choice(STRANGE)
        if rng.random() < 0.5:
            message = valid()
            message[rng.choice(list(message))] = rng.choice(STRANGE)
            message["properties"] = rng.choice([message["properties"], *STRANGE])
            values[0] = message
        value = json.dumps(values).encode()
        plant(redis, f"tag-{n}", value[: rng.randrange(len(value))] if rng.random() < 0.1 else value)
    channel.qos.restore_visible(num=count, interval=1)
    assert is_clean(redis)
    lengths: Any = [redis.llen(key) for key in redis.keys("*") if redis.type(key) == b"list"]
    assert sum(lengths) + len(channel.parks.parked) == count


def test_a_worker_that_starts_parks_them_and_answers_the_next_job(
    redis: "Redis", valkey_url: str, sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, (value, _) in WRONG.items():
        plant(redis, name, value)
    config = tmp_path / "orchestrator.toml"
    config.touch()
    app, process = make_app(
        Settings(database_url=sqlite_url, broker_url=valkey_url, result_url=valkey_url, config=config)
    )
    level = logging.getLogger().level  # Celery's helper sets it, and does not restore it
    with start_worker(app, pool="solo", perform_ping_check=False, queues=[JOBS], shutdown_timeout=30):
        job = app.send_task("orchestrator.session.close", kwargs={"session_id": "unknown"}, queue=JOBS)
        assert job.get(timeout=30)["error"]["code"] == "unknown_session"

        def counts() -> Mapping[str, int]:
            with process.services.database.reading() as tx:
                return tx.parked.counts()

        eventually(lambda: sum(counts().values()) == len(WRONG), "every one is parked")
        eventually(lambda: is_clean(redis), "nothing is unacknowledged")
        with process.services.database.reading() as tx:
            reasons = {one.reason for one in tx.parked.listed(100)}
            alarms = {(one.kind, one.about) for one in tx.installation_alarms.listed()}
        assert not [reason for reason in reasons if "Error" in reason or "(" in reason]
        assert alarms == {(InstallationAlarmKind.MESSAGES_PARKED.value, queue) for queue in (JOBS, NO_QUEUE)}
    logging.getLogger().setLevel(level)
    process.close()
    assert SECRET not in caplog.text


def test_one_client_takes_and_acknowledges_every_message(channel: Any) -> None:
    first = channel._create_client()
    assert channel._create_client() is first
    assert channel._create_client(asynchronous=True) is not first
    channel._disconnect_pools()
    assert channel._create_client() is not first
    assert channel._create_client().ping()
