"""Unacknowledged messages of a dead worker are delivered again, whatever the clocks of the workers say."""

import time
from contextlib import ExitStack
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue
from kombu.transport import redis as kombu_redis
from kombu.transport.redis import Transport
from redis import Redis

from orchestrator.client.options import JOBS_QUEUE
from orchestrator.tasks.entries import guarded_transport
from orchestrator.tasks.parking import Parking
from orchestrator.tasks.visibility import JOB_COMES_BACK_AFTER

TWO_HOURS, TIMEOUT = 7200, 60


def queue_named(name: str) -> Queue:
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


QUEUE = queue_named("jobs")


@pytest.mark.parametrize(("one", "other"), [(0, 0), (-TWO_HOURS, TWO_HOURS), (TWO_HOURS, -TWO_HOURS)])
def test_a_message_is_handed_out_again_after_its_time_by_the_brokers_clock(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch, one: float, other: float
) -> None:
    truth = time.time
    with ExitStack() as stack:

        def worker(ahead: float) -> Any:
            """Return the channel of a worker on a separate machine, which is active from now on."""
            monkeypatch.setattr(time, "time", lambda: truth() + ahead)
            monkeypatch.setattr(kombu_redis, "time", time.time)
            options = {"visibility_timeout": TIMEOUT}
            connection = Connection(valkey_url, transport=guarded(), transport_options=options)
            channel: Any = stack.enter_context(connection).channel()
            QUEUE(channel).declare()
            return channel

        redis = stack.enter_context(Redis.from_url(valkey_url))
        first = worker(one)
        first.basic_publish(first.prepare_message("work"), exchange="jobs", routing_key="jobs")
        taken = first.basic_get("jobs")
        assert taken is not None
        second = worker(other)
        second.qos.restore_visible()
        assert redis.llen("jobs") == 0, "it is under way"
        redis.zincrby("unacked_index", -TIMEOUT, taken.delivery_tag)  # as if that time had passed
        second.qos.restore_visible(interval=1)
        assert redis.llen("jobs") == 1
        assert redis.zcard("unacked_index") == 0


@pytest.mark.parametrize(("name", "comes_back_after"), [(JOBS_QUEUE, JOB_COMES_BACK_AFTER), ("others", 1200)])
def test_a_job_comes_back_sooner_than_what_may_take_minutes(
    valkey_url: str, name: str, comes_back_after: float
) -> None:
    options = {"visibility_timeout": 1200}
    with (
        Redis.from_url(valkey_url) as redis,
        Connection(valkey_url, transport=guarded(), transport_options=options) as connection,
    ):
        channel: Any = connection.channel()
        queue_named(name)(channel).declare()
        channel.basic_publish(channel.prepare_message("work"), exchange=name, routing_key=name)
        taken = channel.basic_get(name)
        assert taken is not None
        for passed, waiting in [(comes_back_after - 10, 0), (20, 1)]:
            redis.zincrby("unacked_index", -passed, taken.delivery_tag)  # as if that time had passed
            channel.qos.restore_visible(interval=1)
            assert redis.llen(name) == waiting


def test_a_broker_that_does_not_say_the_time_is_believed_to_have_ours(valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as redis:
        redis.acl_setuser("worker", enabled=True, nopass=True, commands=["+@all", "-time"], keys=["*"])
    url = valkey_url.replace("redis+socket://", "redis+socket://worker:x@", 1)
    with Connection(url, transport=guarded()) as connection:
        channel: Any = connection.channel()
        assert abs(channel.qos._broker_time() - time.time()) < 60


def guarded() -> Any:
    """Return the transport of a worker that parks nothing."""

    def no_database() -> Any:
        raise AssertionError("nothing is parked here")

    return guarded_transport(Transport, Parking(no_database, None, lambda *_: None))
