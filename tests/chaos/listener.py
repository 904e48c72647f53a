"""Another service that reads the stream of events, through every failure of Redis."""

import json
import threading
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis, RedisError
from sqlalchemy import select

from orchestrator.client.stream import STREAM
from orchestrator.store.database import Database
from orchestrator.store.queries.outbox import OUTBOX

#: Seconds between two reads, and until the last events have come once everything is at rest.
EVERY, LAST_WITHIN = 0.02, 30.0
#: Entries read at once.
MANY = 1000
#: A deliverer records that an event has left no later than this after it was appended.
WRITTEN_DOWN_WITHIN = timedelta(seconds=5)


class Listener:
    """`heard`: CloudEvents in the order in which they arrived. It continues at its last place, also on an emptied
    Redis: the places of a stream are instants, so that a later event has a later place."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=5, decode_responses=True)
        self._after = "0"
        self._looks: list[datetime] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.heard: list[Mapping[str, Any]] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop once all events are delivered and have arrived."""
        until, give_up_at = datetime.now(UTC), time.monotonic() + LAST_WITHIN
        while not (self._looks and self._looks[-1] > until) and time.monotonic() < give_up_at:
            time.sleep(EVERY)
        self.close()

    def close(self) -> None:
        """Stop at once."""
        self._over.set()
        self._thread.join(LAST_WITHIN)
        self._redis.close()

    def swept_away(self, database: Database, flushes: Sequence[datetime]) -> frozenset[str]:
        """Return the ids of events that had left when Redis lost its data, and had not been read by then: they are lost
        for good.

        Whatever was appended before the last read had been read."""
        heard = {str(event["id"]) for event in self.heard}
        with database.reading() as tx:
            rows = tx.connection.execute(select(OUTBOX.c.id, OUTBOX.c.time, OUTBOX.c.delivered_at)).all()
        return frozenset(
            row.id
            for row in rows
            if row.id not in heard
            and row.delivered_at is not None
            and any(
                row.time <= flush
                and self._last_look(flush) <= row.delivered_at <= flush + WRITTEN_DOWN_WITHIN
                for flush in flushes
            )
        )

    def _last_look(self, before: datetime) -> datetime:
        n = bisect_right(self._looks, before)
        return self._looks[n - 1] if n else datetime.min.replace(tzinfo=UTC)

    def _listen(self) -> None:
        while not self._over.is_set():
            with suppress(RedisError):  # it is down, and comes back
                self._read_all()
            time.sleep(EVERY)

    def _read_all(self) -> None:
        full = True
        while full:
            began = datetime.now(UTC)
            answer: Any = self._redis.xread({STREAM: self._after}, count=MANY)
            entries = [entry for _, found in answer or [] for entry in found]
            for place, fields in entries:
                self._after = place
                self.heard.append(json.loads(fields["event"]))
            full = len(entries) == MANY
        self._looks.append(began)
