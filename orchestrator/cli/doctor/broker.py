"""Checks of the broker."""

from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import Doubt
from orchestrator.cli.shared.failures import Complaint

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def reachable(settings: "Settings") -> str:
    """Check that the broker answers."""
    from orchestrator.client.sender import check_broker
    from orchestrator.rules.installation.secret_texts import redacted_url

    check_broker(settings.broker_url, sentinel_master=settings.sentinel_master)
    return redacted_url(settings.broker_url)


def writes(settings: "Settings") -> str:
    """Check that the broker takes writes. One that is full, or a replica, answers reads alone."""
    from redis import RedisError

    from orchestrator.client.sender import writes_refused
    from orchestrator.client.stream import connect

    stream = connect(settings.broker_url, sentinel_master=settings.sentinel_master)
    if stream is None:
        return "not Redis: the check of jobs covers it"
    try:
        stream.prove_writes()
    except RedisError as error:
        raise Complaint(f"it {writes_refused(str(error).splitlines()[0])}") from None
    finally:
        stream.close()
    return "a key was written"


def keys(settings: "Settings") -> str:
    """Check that every key there has the type that we give it. A key that another program wrote stops the code that
    uses it."""
    from redis import RedisError

    from orchestrator.client.stream import redis_behind
    from orchestrator.tasks.broker_keys import wrong_keys

    redis = redis_behind(settings.broker_url, sentinel_master=settings.sentinel_master)
    if redis is None:
        return "not Redis: it holds queues only"
    try:
        wrong = wrong_keys(redis)
    except RedisError as error:
        raise Doubt(f"the types of its keys cannot be read ({str(error).splitlines()[0]})") from None
    finally:
        redis.close()
    if wrong:
        raise Complaint(
            f"another program writes to this Redis: {'; '.join(wrong)}. Delete the key (DEL) and give one of the two a"
            " database of its own; until then due work is done without messages"
        )
    return "each has the right type"
