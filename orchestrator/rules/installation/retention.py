"""Which rows leave the live tables and when, how many at once, and the sums of their ledger entries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from orchestrator.rules.events import PREFIX, Event
from orchestrator.rules.values import ZERO, ArchivedSession
from orchestrator.rules.values.amounts import money_text


class SessionRetention(StrEnum):
    """`[retention] sessions`: what happens to sessions that ended long ago."""

    KEEP = "keep"
    ARCHIVE = "archive"
    DELETE = "delete"


#: Outcomes of jobs are kept this long (contract).
KEEP_OUTCOMES = timedelta(days=30)
#: The least number of days that a session stays in the live tables: outcomes of jobs name it for 30 days, and no
#: provider is asked for a session that lasts longer.
LEAST_DAYS = 31
#: Rows that one transaction moves: it bounds the wait for the account's lock.
MOST_ROWS = 500
#: Retention that is behind by more is red in `doctor`.
LAGS_AFTER = timedelta(days=1)
#: The kind of the ledger entry that carries the sum of the archived ones.
OPENING = "opening"


@dataclass(frozen=True, slots=True)
class RetentionCandidate:
    """A session that may leave, and how many rows leave with it."""

    id: str
    account_id: str
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Sessions of one account that leave in one transaction."""

    account_id: str
    session_ids: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedBook:
    """The sum of the entries that left the ledger, between an account's book and one other book."""

    account_id: str
    book: str
    """The other book: `revenue`, `written_off`."""
    amount: Decimal
    """The amount that they added to the account's book; below zero: that they took from it."""
    entries: int
    kept_amount: Decimal
    """Of those that the archive holds."""
    kept_entries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OpeningEntry:
    """The books and the amount of an opening entry."""

    debit: str
    credit: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class Lag:
    """How far retention is behind for one kind of rows."""

    of: str
    oldest_at: datetime | None
    """None if there are no such rows."""
    behind: timedelta
    """Zero if no row is older than it may be."""

    @property
    def is_red(self) -> bool:
        """Return whether it is more than a delay."""
        return self.behind > LAGS_AFTER


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteAfter:
    """How long after its end a session is deleted."""

    plans: Mapping[str, timedelta]
    """The time at plans with a setting of their own."""
    others: timedelta | None
    """The time at all other plans; None: never."""
    own: frozenset[str]
    """Plans with a setting of their own, including those that say never."""


def batches(candidates: Sequence[RetentionCandidate], most_rows: int = MOST_ROWS) -> list[Batch]:
    """Group sessions by account, in the order of each account's first one; a batch has at most `most_rows` rows, or one
    session."""
    of_account: dict[str, list[RetentionCandidate]] = {}
    for candidate in candidates:
        of_account.setdefault(candidate.account_id, []).append(candidate)
    return [
        Batch(account_id=account_id, session_ids=ids)
        for account_id, mine in of_account.items()
        for ids in _cut(mine, most_rows)
    ]


def opening_key(book: ArchivedBook) -> str:
    """Return the ledger's key of the one opening entry of this pair of books."""
    return f"opening:{book.book}:{book.account_id}"


def opening_entry(book: ArchivedBook, account_book: str) -> OpeningEntry:
    """Return the entry that moves the sum of all archived entries of this pair of books."""
    if book.amount > ZERO:
        return OpeningEntry(debit=book.book, credit=account_book, amount=book.amount)
    return OpeningEntry(debit=account_book, credit=book.book, amount=-book.amount)


def lag(of: str, oldest_at: datetime | None, kept: timedelta | None, now: datetime) -> Lag:
    """Compare the oldest row with how long such rows are kept. `kept` None: for ever."""
    late = timedelta(0) if oldest_at is None or kept is None else now - oldest_at - kept
    return Lag(of=of, oldest_at=oldest_at, behind=max(timedelta(0), late))


def delete_after(of_installation: float | None, of_plans: Mapping[str, float | None]) -> DeleteAfter:
    """Override the installation's setting by those of plans; 0 is never."""
    own = {name: seconds for name, seconds in of_plans.items() if seconds is not None}
    return DeleteAfter(
        plans={name: timedelta(seconds=seconds) for name, seconds in own.items() if seconds},
        others=timedelta(seconds=of_installation) if of_installation else None,
        own=frozenset(own),
    )


def deleted_event(tombstone: ArchivedSession) -> Event:
    """Return the event of an archived session that is deleted."""
    data = {
        "session_id": tombstone.id,
        "account_id": tombstone.account_id,
        "name": tombstone.name,
        "state": tombstone.state.value,
        "previous_state": tombstone.state.value,
        "provider": tombstone.provider,
        "stop_reason": tombstone.stop_reason,
        "charged": money_text(tombstone.charged),
        "currency": tombstone.currency,
    }
    return Event(type=f"{PREFIX}.session.deleted", subject=tombstone.id, data=data)


def _cut(candidates: Sequence[RetentionCandidate], most_rows: int) -> Iterator[list[str]]:
    ids: list[str] = []
    rows = 0
    for candidate in candidates:
        if ids and rows + candidate.rows > most_rows:
            yield ids
            ids, rows = [], 0
        ids.append(candidate.id)
        rows += candidate.rows
    yield ids
