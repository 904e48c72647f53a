"""Keep parked messages in the broker that they came from: they may hold secrets, which must not reach the database.
One bounded stream, which only `orchestrator messages resend` reads."""

from typing import Any

from redis import Redis

from orchestrator.client.stream import redis_behind
from orchestrator.settings import Settings

STREAM = "orchestrator:parked"
#: Messages kept, and bytes kept of one message: a larger one is parked without a copy.
MOST_KEPT, LARGEST_KEPT = 1_000, 64 * 1024
#: Seconds without a newly parked message after which all copies are gone.
KEPT_SECONDS = 30 * 86_400


class ParkedCopies:
    """The stream of copies, over a client that does not decode responses."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    def keep(self, raw: bytes) -> str | None:
        """Save a message and return its key; None if it is too large. Raises redis.RedisError."""
        if len(raw) > LARGEST_KEPT:
            return None
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xadd(STREAM, {"raw": raw}, maxlen=MOST_KEPT, approximate=False)
        pipeline.expire(STREAM, KEPT_SECONDS)
        key: bytes = pipeline.execute()[0]
        return key.decode()

    def send_again(self, key: str, queue: str) -> bool:
        """Put the message back into its queue. Return False if the copy is gone. Raises redis.RedisError."""
        found: Any = self._redis.xrange(STREAM, key, key)
        if not found:
            return False
        [(_, fields)] = found
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.lpush(queue, fields[b"raw"])
        pipeline.xdel(STREAM, key)
        pipeline.execute()
        return True

    def drop(self, key: str) -> None:
        """Delete this message. Raises redis.RedisError."""
        self._redis.xdel(STREAM, key)


def copies_behind(settings: Settings) -> ParkedCopies | None:
    """Return the copies in the broker; None for a broker other than Redis, which keeps dead letters itself."""
    redis = redis_behind(
        settings.broker_url, sentinel_master=settings.sentinel_master, decode_responses=False
    )
    return ParkedCopies(redis) if redis is not None else None
