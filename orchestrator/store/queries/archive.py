"""Named queries over archived sessions, and their ledger entries."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exists,
    func,
    insert,
    literal,
    select,
    text,
    update,
)

from orchestrator.rules.installation.retention import ArchivedBook
from orchestrator.rules.values import ArchivedSession
from orchestrator.store.core.conditions import IS_OPENING
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of
from orchestrator.store.queries.ledger import LEDGER, Line

ARCHIVED, ARCHIVED_LEDGER = table_of("archived_sessions"), table_of("archived_ledger")
BOOKS = table_of("archived_books")


class Archive:
    """Queries of the archive, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # sessions

    def put(self, tombstones: Collection[ArchivedSession]) -> None:
        """Archive sessions that leave the live tables; those that are not deleted still count against the quota."""
        self._connection.execute(insert(ARCHIVED), [values_of(one) for one in tombstones])

    def get(self, session_id: str) -> ArchivedSession | None:
        """Return the archived session; None if it was never archived."""
        return self.of([session_id]).get(session_id)

    def of(self, ids: Collection[str]) -> Mapping[str, ArchivedSession]:
        """Return session id → archived session, for those that were archived."""
        rows = self._connection.execute(select(ARCHIVED).where(ARCHIVED.c.id.in_(ids)))
        return {row.id: snapshot(ArchivedSession, row) for row in rows}

    def lock(self, session_id: str) -> ArchivedSession | None:
        """Return the archived session, locked. Lock its account first."""
        query = select(ARCHIVED).where(ARCHIVED.c.id == session_id).with_for_update()
        row = self._connection.execute(query).first()
        return snapshot(ArchivedSession, row) if row else None

    def by_name(self, account_id: str, name: str) -> str | None:
        """Return the id of the archived session that has this name in this account, among the not deleted."""
        return self._connection.execute(archived_as(account_id, name)).scalar()

    def listed(self, account_id: str, limit: int) -> Sequence[ArchivedSession]:
        """Return an account's archived sessions that are not deleted, the one that ended last first."""
        query = select(ARCHIVED).where(_not_deleted(account_id)).order_by(ARCHIVED.c.ended_at.desc())
        return [snapshot(ArchivedSession, row) for row in self._connection.execute(query.limit(limit))]

    def kept(self, ids: Collection[str]) -> Sequence[ArchivedSession]:
        """Return those of these sessions, by id, that are archived and not deleted."""
        query = select(ARCHIVED).where(ARCHIVED.c.id.in_(ids), ARCHIVED.c.deleted_at.is_(None))
        return [
            snapshot(ArchivedSession, row) for row in self._connection.execute(query.order_by(ARCHIVED.c.id))
        ]

    def mark_deleted(self, ids: Collection[str], now: datetime) -> None:
        """Delete archived sessions: they no longer count, and their names become free."""
        mine = and_(ARCHIVED.c.id.in_(ids), ARCHIVED.c.deleted_at.is_(None))
        self._connection.execute(update(ARCHIVED).where(mine).values(deleted_at=now))

    # money

    def books(self, account_ids: Collection[str]) -> Mapping[str, Sequence[ArchivedBook]]:
        """Return account id → sums of the entries that left its ledger, by book."""
        of: dict[str, list[ArchivedBook]] = {account_id: [] for account_id in account_ids}
        query = select(BOOKS).where(BOOKS.c.account_id.in_(account_ids)).order_by(BOOKS.c.book)
        for row in self._connection.execute(query):
            of[row.account_id].append(snapshot(ArchivedBook, row))
        return of

    def openings(self, account_ids: Collection[str]) -> Mapping[str, Sequence[Line]]:
        """Return account id → its opening entries."""
        of: dict[str, list[Line]] = {account_id: [] for account_id in account_ids}
        mine = and_(text(IS_OPENING), LEDGER.c.account_id.in_(account_ids))
        for row in self._connection.execute(select(LEDGER).where(mine).order_by(LEDGER.c.id)):
            of[row.account_id].append(snapshot(Line, row))
        return of

    # for the audit

    def after(self, session_id: str, limit: int) -> Sequence[str]:
        """Return the next ids of archived sessions, in their order."""
        query = select(ARCHIVED.c.id).where(ARCHIVED.c.id > session_id).order_by(ARCHIVED.c.id).limit(limit)
        return list(self._connection.execute(query).scalars())

    def entries(self, ids: Collection[str]) -> Mapping[str, Sequence[Line]]:
        """Return session id → its entries in the archive."""
        of: dict[str, list[Line]] = {session_id: [] for session_id in ids}
        query = select(ARCHIVED_LEDGER).where(ARCHIVED_LEDGER.c.session_id.in_(ids))
        for row in self._connection.execute(query.order_by(ARCHIVED_LEDGER.c.id)):
            of[row.session_id].append(snapshot(Line, row))
        return of

    def sums(self, account_ids: Collection[str]) -> Mapping[str, Mapping[str, tuple[Decimal, int]]]:
        """Return account id → book → sum and number of the account's entries in the archive. Reads all of them."""
        of: dict[str, dict[str, tuple[Decimal, int]]] = {account_id: {} for account_id in account_ids}
        entry = ARCHIVED_LEDGER.c
        comes = entry.credit == literal("account:") + entry.account_id
        book = case((comes, entry.debit), else_=entry.credit)
        amount = func.sum(case((comes, entry.amount), else_=-entry.amount))
        query = select(entry.account_id, book, amount, func.count()).where(entry.account_id.in_(account_ids))
        for account_id, name, added, count in self._connection.execute(
            query.group_by(entry.account_id, book)
        ):
            of[account_id][name] = (Decimal(added), count)
        return of

    def unknown(self, account_ids: Collection[str], limit: int = 100) -> Mapping[str, Sequence[str]]:
        """Return account id → sessions that have entries in the archive, but are not in it themselves."""
        of: dict[str, list[str]] = {account_id: [] for account_id in account_ids}
        entry = ARCHIVED_LEDGER.c
        known = exists().where(ARCHIVED.c.id == entry.session_id)
        query = select(entry.account_id, entry.session_id).where(entry.account_id.in_(account_ids), ~known)
        for account_id, session_id in self._connection.execute(query.distinct().limit(limit)):
            of[account_id].append(session_id)
        return of


def archived_as(account_id: str | ColumnElement[str], name: str | ColumnElement[str]) -> Select[str]:
    """Select the id of the archived session that has this name in this account, among the not deleted."""
    return select(ARCHIVED.c.id).where(_not_deleted(account_id), ARCHIVED.c.name == name)


def _not_deleted(account_id: str | ColumnElement[str]) -> ColumnElement[bool]:
    return and_(ARCHIVED.c.account_id == account_id, ARCHIVED.c.deleted_at.is_(None))
