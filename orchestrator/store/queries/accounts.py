"""Named queries over accounts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, DateTime, Row, bindparam, func, insert, select, update

from orchestrator.rules import events
from orchestrator.rules.states import Step
from orchestrator.rules.values import Account
from orchestrator.rules.values.copies import replace
from orchestrator.store.core.gathering import Gathering
from orchestrator.store.core.rows import changes, snapshot, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.outbox import Outbox

ACCOUNTS = table_of("accounts")
_SESSIONS = table_of("sessions")

_ONE = select(ACCOUNTS).where(ACCOUNTS.c.id == bindparam("its_id"))
_LOCK, _LOCK_FREE = _ONE.with_for_update(), _ONE.with_for_update(skip_locked=True)
_FREE = _LOCK_FREE.subquery("locked")
#: The clock is read after the lock: PostgreSQL computes the columns of a query around `FOR UPDATE` last.
LOCK_AND_READ_CLOCK = select(_FREE, func.clock_timestamp(type_=DateTime(timezone=True)).label("read_at"))


class Accounts:
    """Queries and changes of accounts, inside one transaction. The account's lock is taken before all others."""

    def __init__(self, connection: Connection, writes: Gathering, outbox: Outbox, due: set[Step]) -> None:
        self._connection, self._writes = connection, writes
        self._outbox = outbox
        self._due = due
        self._absent: set[str] = set()

    def rely_on_absence(self, account_id: str) -> None:
        """Find no such account from now on in this transaction, since it has decided by that. If another transaction
        adds it meanwhile, an insert here loses the race, and the transaction is run again."""
        self._absent.add(account_id)

    def insert(self, account: Account) -> Account:
        """Add an account."""
        self._absent.discard(account.id)
        self._connection.execute(insert(ACCOUNTS).values(**values_of(account)))
        return account

    def save(self, before: Account, after: Account, now: datetime) -> Account:
        """Write the changed fields, with their events. The row is locked."""
        changed = changes(before, after)
        if not changed:
            return after
        saved = replace(after, revision=before.revision + 1)
        self._writes.update(ACCOUNTS, before, saved, changed)
        self._outbox.add(events.of_account(before, after, now))
        return saved

    def get(self, account_id: str) -> Account | None:
        """Return the account as it is, unlocked."""
        if account_id in self._absent:
            return None
        row = self._connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == account_id)).first()
        return snapshot(Account, row) if row else None

    def lock(self, account_id: str, *, waits: bool = True) -> Account | None:
        """Return the account, locked: only this transaction changes its admissions and money. Without `waits`, None
        where another transaction holds it (SQLite has one writer, so there is none)."""
        if account_id in self._absent:
            return None
        row = self._connection.execute(_LOCK if waits else _LOCK_FREE, {"its_id": account_id}).first()
        return self._locked(row) if row else None

    def lock_and_read_clock(self, account_id: str) -> tuple[Account, datetime] | None:
        """Return the account, locked, and the server's clock as it was after that; None where another transaction holds
        it. PostgreSQL only."""
        if account_id in self._absent:
            return None
        row = self._connection.execute(LOCK_AND_READ_CLOCK, {"its_id": account_id}).first()
        return (self._locked(row), row.read_at) if row else None

    def lock_of(self, session_id: str) -> Account | None:
        """Return the account of this session, locked; None where another transaction holds it, or there is no such
        session."""
        its_account = select(_SESSIONS.c.account_id).where(_SESSIONS.c.id == session_id)
        query = select(ACCOUNTS).where(ACCOUNTS.c.id == its_account.scalar_subquery())
        row = self._connection.execute(query.with_for_update(skip_locked=True, of=ACCOUNTS)).first()
        return self._locked(row) if row else None

    def hold(self, account_id: str) -> None:
        """Lock the account without reading it, since its row may be unreadable."""
        self._connection.execute(select(ACCOUNTS.c.id).where(ACCOUNTS.c.id == account_id).with_for_update())

    def due(self, step: Step, now: datetime, limit: int) -> Sequence[str]:
        """Return the accounts that are due for the step, the longest overdue first."""
        query = (
            select(ACCOUNTS.c.id)
            .where(ACCOUNTS.c.next_step == step, ACCOUNTS.c.next_step_at <= now)
            .order_by(ACCOUNTS.c.next_step_at)
            .limit(limit)
        )
        return list(self._connection.execute(query).scalars())

    def listed(self, limit: int = 1000) -> Sequence[Account]:
        """Return accounts by id."""
        query = select(ACCOUNTS).order_by(ACCOUNTS.c.id).limit(limit)
        return [snapshot(Account, row) for row in self._connection.execute(query)]

    def count(self) -> int:
        """Return how many accounts there are."""
        return self._connection.execute(select(func.count()).select_from(ACCOUNTS)).scalar_one()

    def put_off(self, account_id: str, until: datetime) -> None:
        """Postpone the failed step of an account, so that it does not hold up other accounts."""
        self._connection.execute(
            update(ACCOUNTS)
            .where(ACCOUNTS.c.id == account_id, ACCOUNTS.c.next_step.is_not(None))
            .values(next_step_at=until)
        )

    def oldest_due(self) -> dict[Step, datetime]:
        """Return the earliest time of each step that an account waits for."""
        query = select(ACCOUNTS.c.next_step, func.min(ACCOUNTS.c.next_step_at)).where(
            ACCOUNTS.c.next_step.is_not(None)
        )
        return {row[0]: row[1] for row in self._connection.execute(query.group_by(ACCOUNTS.c.next_step))}

    def _locked(self, row: Row[Any]) -> Account:
        account = snapshot(Account, row)
        self._writes.note_locked(ACCOUNTS, [account.id])
        return account
