"""The Redis stream `orchestrator:events`: one CloudEvent in JSON an entry, under the field `event`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.sentinel import Sentinel

STREAM = "orchestrator:events"
#: About so many events are kept; readers that are further behind ask the database.
KEPT = 1_000_000


class EventStream:
    """Writes and reads the stream, over a client that decodes responses."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Append all, in order, in one round trip. Raises redis.RedisError."""
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            pipeline.xadd(STREAM, {"event": json.dumps(event)}, maxlen=KEPT, approximate=True)
        pipeline.execute()

    def prove_writes(self) -> None:
        """Write a key that expires by itself. Raises redis.RedisError."""
        self._redis.set("orchestrator:write-probe", "1", ex=60)

    def close(self) -> None:
        """Give back the connections."""
        self._redis.close()

    def follow(self, after: str = "$", *, block_ms: int = 1000) -> Iterator[dict[str, Any]]:
        """Events from `after` on (`0`: from the oldest kept), for as long as the caller listens."""
        while True:
            answer: Any = self._redis.xread({STREAM: after}, block=block_ms, count=100)
            for _, entries in answer or []:
                for entry_id, fields in entries:
                    after = entry_id
                    yield json.loads(fields["event"])


def connect(broker_url: str, *, sentinel_master: str | None = None) -> EventStream | None:
    """The stream behind a broker's URL; None where the broker is no Redis."""
    redis = redis_behind(broker_url, sentinel_master=sentinel_master)
    return EventStream(redis) if redis is not None else None


def redis_behind(
    broker_url: str, *, sentinel_master: str | None = None, decode_responses: bool = True
) -> "Redis | None":
    """A client of the Redis that is the broker; None where the broker is no Redis."""
    if broker_url.startswith("sentinel://") and sentinel_master is not None:
        return _master(broker_url, sentinel_master, decode_responses=decode_responses)
    if not broker_url.startswith(("redis://", "rediss://", "redis+socket://")):
        return None
    url = broker_url.replace("redis+socket://", "unix://", 1)
    return Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, decode_responses=decode_responses)


def _master(broker_url: str, name: str, *, decode_responses: bool) -> "Redis":
    """The master that the sentinels of `sentinel://host:port[;sentinel://host:port…]/db` agree on."""
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
