"""Our keys in Redis, and the type that each must have: a key of another type stops the code that uses it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kombu.transport import redis as kombu_redis
from redis import Redis

from orchestrator.client import stream
from orchestrator.client.options import JOBS_QUEUE
from orchestrator.rules.installation.liveness import KINDS
from orchestrator.tasks import parked_copies
from orchestrator.tasks.wake_ups import queue_of

_CHANNEL: Any = kombu_redis.Channel  # its type hints lack some of its keys
#: Redis' TTL of a key without expiry.
_FOR_EVER = -1


def expected_types() -> Mapping[str, str]:
    """Return the type of each key, as Redis names it."""
    types = {
        stream.STREAM: "stream",
        parked_copies.STREAM: "stream",
        _CHANNEL.unacked_key: "hash",
        _CHANNEL.unacked_index_key: "zset",
        _CHANNEL.unacked_mutex_key: "string",
    }
    for queue in (JOBS_QUEUE, *map(queue_of, KINDS)):
        types[_CHANNEL.keyprefix_queue % queue] = "set"
        types[_CHANNEL.keyprefix_binding_permanent % queue] = "set"
        types |= {queue + (f"{_CHANNEL.sep}{n}" if n else ""): "list" for n in kombu_redis.PRIORITY_STEPS}
    return types


def wrong_keys(redis: "Redis") -> Sequence[str]:
    """Return what is wrong with each key that another program wrote. Raises redis.RedisError."""
    return list(_wrong(redis))


def _wrong(redis: "Redis") -> Iterator[str]:
    expected = expected_types()
    with redis.pipeline(transaction=False) as pipeline:
        for key in expected:
            pipeline.type(key)
        pipeline.ttl(_CHANNEL.unacked_mutex_key)
        *types, left = pipeline.execute()
    for (key, kind), found in zip(expected.items(), map(_text, types), strict=True):
        if found not in (kind, "none"):
            yield f"`{key}` is a {found} and must be a {kind}"
        elif key == _CHANNEL.unacked_mutex_key and left == _FOR_EVER:
            yield f"`{key}` must expire but does not: messages that a dead worker had taken wait for that"


def _text(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)
