"""Named queries over accounts."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Row,
    Select,
    bindparam,
    func,
    insert,
    select,
    true,
    update,
)

from orchestrator.rules import events
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.states import Step
from orchestrator.rules.values import Account, Session
from orchestrator.rules.values.copies import replace
from orchestrator.store.core.bulk import IDS, among_given, each_of, locked_rows
from orchestrator.store.core.gathering import Gathering
from orchestrator.store.core.rows import changes, snapshot, snapshots, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.living import STARTS_OR_RUNS
from orchestrator.store.queries.outbox import Outbox
from orchestrator.store.queries.sessions import SESSIONS
from orchestrator.store.queries.usage import Standing, standing_of

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
        """Return the account, locked, and the server's clock as it was after that; None if another transaction holds
        it. PostgreSQL only."""
        if account_id in self._absent:
            return None
        row = self._connection.execute(LOCK_AND_READ_CLOCK, {"its_id": account_id}).first()
        return (self._locked(row), row.read_at) if row else None

    def lock_of(self, session_id: str) -> Account | None:
        """Return the account of this session, locked; None if another transaction holds it, or there is no such
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


_METERED = tuple(SESSIONS.c[field.name] for field in fields(Metered))
#: The rows of one account, given its id.
Question: TypeAlias = Callable[[ColumnElement[str]], Select[Any]]


class ManyAccounts:
    """What is read of many accounts before their sessions are stopped, inside one transaction: one statement for each
    question, however many they are. SQLite asks some questions once for each account."""

    def __init__(self, connection: Connection, writes: Gathering) -> None:
        self._connection, self._writes = connection, writes

    def lock_free(self, account_ids: Collection[str]) -> dict[str, Account]:
        """Return these accounts, locked in the order of their ids; without those that another transaction holds."""
        query = locked_rows(self._connection.dialect.name, ACCOUNTS, skip_locked=True)
        rows = self._connection.execute(query, {IDS: list(account_ids)})
        found = {account.id: account for account in snapshots(Account, rows)}
        self._writes.note_locked(ACCOUNTS, found)
        return found

    def standings(self, account_ids: Collection[str]) -> Mapping[str, Standing]:
        """Return the `Standing` of each of these accounts. Call it once their locks are held."""
        mine = _standings(self._connection.dialect.name)
        rows = self._connection.execute(mine, {IDS: list(account_ids)})
        return {row.id: snapshot(Standing, row) for row in rows}

    def lock_overdue(
        self, account_ids: Collection[str], now: datetime, limit: int
    ) -> Mapping[str, Sequence[Session]]:
        """Return the starting and running sessions with a deadline that has passed, longest overdue first, of each
        account up to `limit`; locked in the order of their ids."""
        due = [row.id for row in self._of_each(account_ids, _overdue, {"now": now, "most": limit})]
        query = locked_rows(self._connection.dialect.name, SESSIONS)
        locked = snapshots(Session, self._connection.execute(query, {IDS: due}))
        self._writes.note_locked(SESSIONS, due)
        found: dict[str, list[Session]] = {one: [] for one in account_ids}
        place = {session_id: n for n, session_id in enumerate(due)}
        for session in sorted(locked, key=lambda one: place[one.id]):
            found[session.account_id].append(session)
        return found

    def metered(self, account_ids: Collection[str], limit: int) -> Mapping[str, Sequence[Metered]]:
        """Return what the starting and running sessions of these accounts cost, by id, of each account up to
        `limit`."""
        found: dict[str, list[Metered]] = {one: [] for one in account_ids}
        for row in self._of_each(account_ids, _costly, {"most": limit}):
            values = dict(row._mapping)  # noqa: SLF001
            found[values.pop("account_id")].append(Metered(**values))
        return found

    def _of_each(
        self, account_ids: Collection[str], question: Question, values: Mapping[str, Any]
    ) -> Iterator[Row[Any]]:
        if self._connection.dialect.name == "sqlite":
            for one in account_ids:
                yield from self._connection.execute(_of_one(question), {**values, "account": one})
        else:
            yield from self._connection.execute(_of_all(question), {**values, "accounts": list(account_ids)})


def _overdue(account: ColumnElement[str]) -> Select[Any]:
    passed = SESSIONS.c.stop_at <= bindparam("now", type_=SESSIONS.c.stop_at.type)
    query = select(SESSIONS.c.id).where(SESSIONS.c.account_id == account, STARTS_OR_RUNS, passed)
    return query.order_by(SESSIONS.c.stop_at, SESSIONS.c.id).limit(bindparam("most"))


def _costly(account: ColumnElement[str]) -> Select[Any]:
    query = select(SESSIONS.c.account_id, *_METERED).where(SESSIONS.c.account_id == account, STARTS_OR_RUNS)
    return query.order_by(SESSIONS.c.id).limit(bindparam("most"))


@cache
def _standings(dialect: str) -> Select[Any]:
    query: Select[Any] = select(ACCOUNTS.c.id, *standing_of(ACCOUNTS.c.id))
    return query.where(among_given(dialect, ACCOUNTS.c.id))


@cache
def _of_one(question: Question) -> Select[Any]:
    return question(bindparam("account", type_=SESSIONS.c.account_id.type))


@cache
def _of_all(question: Question) -> Select[Any]:
    accounts = each_of("accounts", SESSIONS.c.account_id.type)
    found = question(accounts.c.id).lateral("found")
    return select(found).select_from(accounts.join(found, true()))
