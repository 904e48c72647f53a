"""Unacknowledged messages are handed out again when their worker is dead, whatever the clocks of the workers say."""

import time
from contextlib import ExitStack
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue
from kombu.transport import redis as kombu_redis
from kombu.transport.redis import Transport
from redis import Redis

from orchestrator.tasks.entries import guarded_transport
from orchestrator.tasks.parking import Parking

TWO_HOURS, TIMEOUT = 7200, 60
QUEUE = Queue("jobs", Exchange("jobs", type="direct"), routing_key="jobs")


@pytest.mark.parametrize(("one", "other"), [(0, 0), (-TWO_HOURS, TWO_HOURS), (TWO_HOURS, -TWO_HOURS)])
def test_a_message_is_handed_out_again_after_its_time_by_the_brokers_clock(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch, one: float, other: float
) -> None:
    truth = time.time
    with ExitStack() as stack:

        def worker(ahead: float) -> Any:
            """The channel of a worker on a machine of its own, which is the one that acts from now on."""
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


def test_a_broker_that_does_not_say_the_time_is_believed_to_have_ours(valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as redis:
        redis.acl_setuser("worker", enabled=True, nopass=True, commands=["+@all", "-time"], keys=["*"])
    url = valkey_url.replace("redis+socket://", "redis+socket://worker:x@", 1)
    with Connection(url, transport=guarded()) as connection:
        channel: Any = connection.channel()
        assert abs(channel.qos._broker_time() - time.time()) < 60


def guarded() -> Any:
    """The transport of a worker that parks nothing."""

    def no_database() -> Any:
        raise AssertionError("nothing is parked here")

    return guarded_transport(Transport, Parking(no_database, None, lambda *_: None))
