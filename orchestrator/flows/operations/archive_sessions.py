"""Take sessions that ended long ago out of the live tables, with their placements and ledger entries: archive them, or
delete them for good.

Each batch is one short transaction under its account's lock: a process that dies leaves no half-moved session, and two
simultaneous runs do not repeat each other's work. The ledger keeps its sum: in each book, an opening entry replaces the
newest entry that left."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.flows.engine.services import Services
from orchestrator.rules.installation.retention import (
    MOST_ROWS,
    OPENING,
    ArchivedBook,
    Batch,
    SessionRetention,
    batches,
    opening_entry,
    opening_key,
)
from orchestrator.rules.values import ArchivedSession, Placement, Session
from orchestrator.store.queries.archive_records import digest_of, record_of
from orchestrator.store.queries.ledger import Line, book_of
from orchestrator.store.transaction import Transaction
from orchestrator.store.unreadable import is_about_a_row

log = logging.getLogger(__name__)

#: Sessions that one query reads.
LOOK = 500
#: The longest pause after a batch. It is as long as the batch took, so that others reach the database. Seconds.
LONGEST_REST = 0.5


def archive_sessions(
    services: Services, rest: Callable[[float], None] = time.sleep, most_rows: int = MOST_ROWS
) -> int:
    """Move sessions until none is left that may be moved, or until the process leaves. Return how many were moved."""
    kept = services.config.retention.sessions_kept
    if kept is None:
        return 0
    run = _ArchiveRun(services, kept, rest, most_rows)
    while run.look():
        pass
    return run.moved


class _ArchiveRun:
    """One run: what it moved, and what could not be read."""

    def __init__(
        self, services: Services, kept: timedelta, rest: Callable[[float], None], most_rows: int
    ) -> None:
        self._services = services
        self._kept = kept
        self._rest = rest
        self._most_rows = most_rows
        self._unreadable: set[str] = set()
        self.moved = 0

    def look(self) -> bool:
        """Move what is due now, in batches. Return whether anything was moved: if so, there may be more."""
        with self._services.database.reading() as tx:
            found = tx.retention.candidates(tx.now() - self._kept, LOOK, self._unreadable)
        before = self.moved
        for batch in batches(found, self._most_rows):
            if self._services.slots.closed:
                return False
            self._move(batch)
        return self.moved > before

    def _move(self, batch: Batch) -> None:
        """Move these in one transaction. If a row cannot be read, move each half in its own, down to that row."""
        began = time.monotonic()
        try:
            self.moved += self._services.database.transact(lambda tx: self._take_out(tx, batch))
        except Exception as error:
            if not is_about_a_row(error):
                raise
            self._leave_out(batch, error)
        self._rest(min(time.monotonic() - began, LONGEST_REST))

    def _leave_out(self, batch: Batch, error: Exception) -> None:
        ids = batch.session_ids
        if len(ids) == 1:
            log.error(
                "session %s stays in the live tables: archiving it failed (%s)", ids[0], type(error).__name__
            )
            self._unreadable.add(ids[0])
            return
        half = len(ids) // 2
        for some in (ids[:half], ids[half:]):
            self._move(replace(batch, session_ids=some))

    def _take_out(self, tx: Transaction, batch: Batch) -> int:
        """Move a batch and return its size; 0 if the account is locked: the next run finds it again."""
        if tx.accounts.lock(batch.account_id, waits=False) is None:
            return 0
        now = tx.now()
        sessions = tx.retention.lock(batch.session_ids, now - self._kept)
        if sessions:
            Removal(tx, batch.account_id, sessions, now).carry_out(self._services.config.retention.sessions)
        return len(sessions)


class Removal:
    """Move locked sessions of one account in this transaction."""

    def __init__(self, tx: Transaction, account_id: str, sessions: Sequence[Session], now: datetime) -> None:
        self._tx = tx
        self._account_id = account_id
        self._sessions = sessions
        self._ids = [session.id for session in sessions]
        self._now = now

    def carry_out(self, retention: SessionRetention) -> None:
        entries = self._tx.retention.entries(self._ids)
        if retention is SessionRetention.ARCHIVE:
            placements = self._tx.retention.placements(self._ids)
            self._tx.archive.put(
                [self._archived(one, placements[one.id], entries[one.id]) for one in self._sessions]
            )
            self._tx.retention.copy_entries(self._ids)
        else:
            self._tx.archive.put([self._tombstone(one) for one in self._sessions])
        self._tx.retention.take_out(self._ids)
        self._open_books([line for lines in entries.values() for line in lines])

    def _archived(
        self, session: Session, placements: Sequence[Placement], entries: Sequence[Line]
    ) -> ArchivedSession:
        record = record_of(session, placements)
        return replace(self._tombstone(session), record=record, digest=digest_of(record, entries))

    def _tombstone(self, session: Session) -> ArchivedSession:
        ended_at = session.ended_at or session.deleted_at
        assert ended_at is not None  # the session has ended
        return ArchivedSession(
            id=session.id,
            account_id=session.account_id,
            name=session.name,
            state=session.state,
            provider=session.provider,
            stop_reason=session.stop_reason,
            request_digest=session.request_digest,
            charged=session.charged,
            charges=session.charges,
            currency=session.currency,
            created_at=session.created_at,
            ended_at=ended_at,
            archived_at=self._now,
            deleted_at=session.deleted_at,
        )

    def _open_books(self, left: Sequence[Line]) -> None:
        """Write the opening entries with changed sums. A sum covers all entries that ever left this ledger."""
        mine = book_of(self._account_id)
        newest: dict[str, Line] = {}
        for line in sorted(left, key=lambda line: line.id):
            newest[line.debit if line.credit == mine else line.credit] = line
        openings = self._openings()
        for book in self._tx.archive.books([self._account_id])[self._account_id]:
            if book.book in newest:
                self._open_book(book, openings.get(opening_key(book)), newest[book.book])
        if left:
            self._tx.retention.forget_sum(self._account_id, max(line.id for line in left))

    def _open_book(self, book: ArchivedBook, old: Line | None, last: Line) -> None:
        """Put the opening entry in place of the newest entry that left. After it, every balance in the ledger is what
        it was at its time."""
        newest = max(last, old, key=lambda line: line.id) if old is not None else last
        moved = opening_entry(book, book_of(self._account_id))
        new = Line(
            id=newest.id,
            key=opening_key(book),
            at=newest.at,
            account_id=self._account_id,
            kind=OPENING,
            debit=moved.debit,
            credit=moved.credit,
            amount=moved.amount,
            currency=newest.currency,
            note=f"archived entries: {book.entries}",
        )
        self._tx.retention.put_opening(old, new)

    def _openings(self) -> Mapping[str, Line]:
        return {line.key: line for line in self._tx.archive.openings([self._account_id])[self._account_id]}
