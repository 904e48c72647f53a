"""Checks of the broker."""

from typing import TYPE_CHECKING

from orchestrator.cli.failures import Complaint

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def reachable(settings: "Settings") -> str:
    """Does it answer?"""
    from orchestrator.client.sender import check_broker
    from orchestrator.settings import redacted_url

    check_broker(settings.broker_url, sentinel_master=settings.sentinel_master)
    return redacted_url(settings.broker_url)


def writes(settings: "Settings") -> str:
    """Does it take writes? One that is full, or a replica, answers every question."""
    from redis import RedisError

    from orchestrator.client.sender import writes_refused
    from orchestrator.client.stream import connect

    stream = connect(settings.broker_url, sentinel_master=settings.sentinel_master)
    if stream is None:
        return "no Redis: the job that does nothing is the proof"
    try:
        stream.prove_writes()
    except RedisError as error:
        raise Complaint(f"it {writes_refused(str(error).splitlines()[0])}") from None
    finally:
        stream.close()
    return "a key was written"
