"""The Redis stream `orchestrator:events`: one CloudEvent in JSON an entry, under the field `event`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis import Redis

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

    def follow(self, after: str = "$", *, block_ms: int = 1000) -> Iterator[dict[str, Any]]:
        """Events from `after` on (`0`: from the oldest kept), for as long as the caller listens."""
        while True:
            answer: Any = self._redis.xread({STREAM: after}, block=block_ms, count=100)
            for _, entries in answer or []:
                for entry_id, fields in entries:
                    after = entry_id
                    yield json.loads(fields["event"])


def connect(broker_url: str) -> EventStream | None:
    """The stream behind a broker's URL; None where the broker is no Redis."""
    if not broker_url.startswith(("redis://", "rediss://", "redis+socket://")):
        return None
    url = broker_url.replace("redis+socket://", "unix://", 1)
    return EventStream(
        Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5, decode_responses=True)
    )
