"""What is read of many accounts before their sessions are stopped: one statement for each question, however many they
are. SQLite asks some questions once for each account."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, select, true

from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.values import Account, Session
from orchestrator.store.core.bulk import IDS, among_given, each_of, locked_rows
from orchestrator.store.core.gathering import Gathering
from orchestrator.store.core.rows import snapshot, snapshots
from orchestrator.store.queries.accounts import ACCOUNTS
from orchestrator.store.queries.living import STARTS_OR_RUNS
from orchestrator.store.queries.sessions import SESSIONS
from orchestrator.store.queries.usage import Standing, standing_of

_METERED = tuple(SESSIONS.c[field.name] for field in fields(Metered))
#: The rows of one account, given its id.
Question: TypeAlias = Callable[[ColumnElement[str]], Select[Any]]


class ManyAccounts:
    """Queries over several accounts, inside one transaction."""

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
