"""The Redis stream `orchestrator:events`: one CloudEvent in JSON an entry, under the field `event`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import OutOfMemoryError
from redis.sentinel import Sentinel

STREAM = "orchestrator:events"
#: About this many events are kept; readers that are further behind ask the database.
KEPT = 1_000_000
#: The stream's share of a broker's `maxmemory`, and its bytes if there is none, unless a setting says otherwise.
SHARE, UNBOUNDED = 4, 256 * 1024 * 1024
#: A stream that is too large is trimmed to this share of its bound, so that it is not trimmed at each event.
_TRIMMED_TO = 0.8
#: Parts of the stream that the broker reads to estimate its size.
_SAMPLES = 20
#: The stream is measured again once so small a part of its bound has been written.
_MEASURED_EACH = 20


class EventStream:
    """Writes and reads the stream, over a client that decodes responses."""

    def __init__(self, redis: "Redis", most_bytes: int | None = None) -> None:
        """Keep the connection. `most_bytes`: what the stream may take in the broker's memory; None: a quarter of that
        memory."""
        self._redis = redis
        self._most_bytes = most_bytes
        self._until_measured = 0

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Append all events, in order, in one round trip, and trim the oldest if they take too many bytes. If the
        broker is out of memory, trim and try once more. Raises redis.RedisError."""
        entries = [json.dumps(event) for event in events]
        try:
            self._append(entries)
        except OutOfMemoryError:
            if not self.trim():
                raise
            self._append(entries)
        self._until_measured -= sum(map(len, entries))
        if entries and self._until_measured <= 0:
            self.trim()

    def trim(self) -> int:
        """Delete the oldest events beyond the bound in bytes; return how many."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.info("memory")
        pipeline.memory_usage(STREAM, samples=_SAMPLES)
        pipeline.xlen(STREAM)
        memory, used, length = pipeline.execute(raise_on_error=False)
        limit = int(memory.get("maxmemory") or 0) if isinstance(memory, dict) else 0  # it may be forbidden
        most = self._most_bytes or limit // SHARE or UNBOUNDED
        self._until_measured = most // _MEASURED_EACH
        kept = kept_within(most, used, length) if isinstance(used, int) else length
        return int(self._redis.xtrim(STREAM, maxlen=kept, approximate=False)) if kept < length else 0

    def _append(self, entries: Sequence[str]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for entry in entries:
            pipeline.xadd(STREAM, {"event": entry}, maxlen=KEPT, approximate=True)
        pipeline.execute()

    def prove_writes(self) -> None:
        """Write a key that expires by itself. Raises redis.RedisError."""
        self._redis.set("orchestrator:write-probe", "1", ex=60)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def follow(self, after: str = "$", *, block_ms: int = 1000) -> Iterator[dict[str, Any]]:
        """Yield events from `after` on (`0`: from the oldest kept), for as long as the caller listens."""
        while True:
            answer: Any = self._redis.xread({STREAM: after}, block=block_ms, count=100)
            for _, entries in answer or []:
                for entry_id, fields in entries:
                    after = entry_id
                    yield json.loads(fields["event"])


def kept_within(most: int, used: int, length: int) -> int:
    """Return how many of `length` entries, which take `used` bytes, may stay where `most` bytes are allowed."""
    return length if used <= most else int(length * _TRIMMED_TO * most / used)


def connect(
    broker_url: str, *, sentinel_master: str | None = None, most_bytes: int | None = None
) -> EventStream | None:
    """Return the stream behind a broker's URL; None if the broker is no Redis."""
    redis = redis_behind(broker_url, sentinel_master=sentinel_master)
    return EventStream(redis, most_bytes) if redis is not None else None


def redis_behind(
    broker_url: str, *, sentinel_master: str | None = None, decode_responses: bool = True
) -> "Redis | None":
    """Return a client of the Redis that is the broker; None if the broker is no Redis."""
    if broker_url.startswith("sentinel://") and sentinel_master is not None:
        return _master(broker_url, sentinel_master, decode_responses=decode_responses)
    if not broker_url.startswith(("redis://", "rediss://", "redis+socket://")):
        return None
    url = broker_url.replace("redis+socket://", "unix://", 1)
    return Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, decode_responses=decode_responses)


def _master(broker_url: str, name: str, *, decode_responses: bool) -> "Redis":
    """Return the master that the sentinels of `sentinel://host:port[;sentinel://host:port…]/db` agree on."""
    parts = [urlsplit(part) for part in broker_url.split(";")]
    hosts = [(part.hostname or "localhost", part.port or 26379) for part in parts]
    login = {"username": parts[0].username, "password": parts[0].password}
    sentinel: Any = Sentinel(hosts, socket_timeout=5)  # type: ignore[no-untyped-call]
    master: Redis = sentinel.master_for(
        name,
        db=int(parts[-1].path.strip("/") or 0),
        socket_timeout=10,
        decode_responses=decode_responses,
        **{key: value for key, value in login.items() if value},
    )
    return master
