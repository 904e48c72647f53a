"""One reader of the outbox for all listeners of this process, however many there are.

It reads while anything listens. Each event is encoded once, and every listener sends the same bytes."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from orchestrator.api.listening_tokens import ListeningTokens
from orchestrator.api.positions import Position
from orchestrator.flows.engine.failures import log_failure
from orchestrator.flows.reports.cloud_events import cloud_event
from orchestrator.store.queries.outbox import WaitingEvent
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)

#: Seconds between two reads, and after a read that failed.
EVERY, AFTER_FAILURE = 0.2, 2.0
#: Events read at once, and how many are kept for listeners that are slow or have just begun.
BATCH, KEPT = 500, 5_000
#: How many of the newest events are read, at the start, for places that are still empty.
LOOKED_AT = 500

Read: TypeAlias = Callable[[Callable[[Transaction], Any]], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedEvent:
    """One event, ready to be sent."""

    place: int
    position: Position
    """The position after this event."""
    type: str
    subject: str
    account_id: str | None
    """The account that may see it; None: it concerns the installation."""
    data: str
    """The CloudEvent as JSON, in one line."""

    @property
    def message(self) -> str:
        """Return the event as server-sent events carry it."""
        return f"id: {self.position}\nevent: {self.type}\ndata: {self.data}\n\n"


class TooSlow(Exception):
    """The listener is so far behind that events it has not seen are no longer kept: it must resume."""


class Feed:
    """Reads new events while anything listens, and keeps the last of them."""

    def __init__(self, read: Read, leaving: asyncio.Event) -> None:
        self._read, self._leaving = read, leaving
        self._kept: deque[FeedEvent] = deque(maxlen=KEPT)
        self._count = 0
        self._changed = asyncio.Event()
        self._listeners = 0
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self.tokens = ListeningTokens()
        self.position: Position | None = None
        self.reads = 0
        """How often the database was read."""

    @asynccontextmanager
    async def listening(self, token_id: str | None = None) -> AsyncIterator[None]:
        """Read events while this lasts. `position` is known inside. `token_id`: the token of the stream, to be ended
        with the token."""
        self._listeners += 1
        try:
            async with self._starting:
                if self._reader is None or self._reader.done():
                    self.position = await self._read(_present)
                    self._reader = asyncio.create_task(self._run())
            with self.tokens.with_stream_of(token_id):
                yield
        finally:
            self._listeners -= 1
            if not self._listeners and self._reader is not None:
                self._reader.cancel()
                self._reader = None

    def here(self) -> int:
        """Return the count of events so far: `since` begins there."""
        return self._count

    def since(self, count: int) -> Sequence[FeedEvent]:
        """Return the events after the first `count`. Raises TooSlow if they are no longer kept."""
        behind = self._count - count
        if behind > len(self._kept):
            raise TooSlow
        return [self._kept[n] for n in range(len(self._kept) - behind, len(self._kept))]

    async def wait(self, seconds: float) -> None:
        """Wait until events come, the process leaves, or this many seconds have passed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def stop(self) -> None:
        """Wake every listener, because the process leaves."""
        self._ring()

    def _ring(self) -> None:
        self._changed.set()
        if not self._leaving.is_set():
            self._changed = asyncio.Event()

    async def _run(self) -> None:
        while True:
            try:
                found = await self._read(self._next)
                self.reads += 1
            except Exception as error:  # noqa: BLE001  (listeners wait for this reader, whatever fails)
                log_failure(log, error, f"cannot read events; retrying in {AFTER_FAILURE:g} s")
                await asyncio.sleep(AFTER_FAILURE)
                continue
            self._keep(found)
            if self.tokens.take_news():
                self._ring()
            await asyncio.sleep(0 if len(found) == BATCH else EVERY)

    def _next(self, tx: Transaction) -> Sequence[FeedEvent]:
        assert self.position is not None
        asked = self.tokens.to_check()
        if asked:
            self.tokens.checked(asked, tx.tokens.valid(asked, tx.now()))
        return events_behind(tx, self.position, BATCH)

    def _keep(self, found: Sequence[FeedEvent]) -> None:
        if not found:
            return
        self._kept.extend(found)
        self._count += len(found)
        self.position = found[-1].position
        self._ring()


def events_behind(tx: Transaction, position: Position, limit: int) -> list[FeedEvent]:
    """Return the events that a client at this position has not read, in their order."""
    now = tx.now()
    current = position.without_old_gaps(now)
    rows = tx.outbox.tail(after=current.after, gaps=current.gaps, limit=limit)
    return _encoded(tx, rows, current, now)


def _encoded(
    tx: Transaction, rows: Sequence[WaitingEvent], position: Position, now: datetime
) -> list[FeedEvent]:
    owners, found = owners_of(tx, rows), []
    for row in rows:
        position = position.read(row.seq, now, row.time)
        found.append(
            FeedEvent(
                place=row.seq,
                position=position,
                type=row.type,
                subject=row.subject,
                account_id=owners.get(row.seq),
                data=json.dumps(cloud_event(row), separators=(",", ":")),
            )
        )
    return found


def owners_of(tx: Transaction, rows: Sequence[WaitingEvent]) -> dict[int, str]:
    """Return the account of each event, by its place; events of the installation have none."""
    found = {row.seq: row.data["account_id"] for row in rows if row.data.get("account_id")}
    others = [row for row in rows if row.seq not in found and row.type.startswith("orchestrator.session.")]
    if others:
        ids = {row.subject for row in others}
        owners = tx.sessions.accounts_of(ids)
        owners |= {one.id: one.account_id for one in tx.archive.of(ids - owners.keys()).values()}
        found |= {row.seq: owners[row.subject] for row in others if row.subject in owners}
    return found


def _present(tx: Transaction) -> Position:
    """Return the position behind the newest event, with the places before it that are still empty."""
    now, rows = tx.now(), tx.outbox.newest(limit=LOOKED_AT)
    position = Position(rows[0].seq - 1 if rows else 0)
    for row in rows:
        position = position.read(row.seq, now, row.time)
    return position
