"""The ledger: append-only double entry, each entry under a unique key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, func, select, text

from orchestrator.store.core.bulk import insert_rows
from orchestrator.store.core.conditions import IS_OPENING
from orchestrator.store.core.gathering import Gathering
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of

LEDGER, _KEPT = table_of("ledger"), table_of("audit_balances")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry: `amount` moves from the book `debit` to the book `credit`."""

    key: str
    at: datetime
    account_id: str
    session_id: str | None = None
    kind: str
    debit: str
    credit: str
    amount: Decimal
    currency: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line(Entry):
    """An entry as it is stored in the ledger."""

    id: int


def book_of(account_id: str) -> str:
    """Return the name of an account's book."""
    return f"account:{account_id}"


def credit_key(account_id: str, key: str) -> str:
    """Return the ledger's key of a credit: the caller's key within the account. It cannot equal a key of an account
    with a longer id."""
    return f"credit:{account_id.replace(':', '%3A')}:{key}"


def debit_key(account_id: str, key: str) -> str:
    """Return the ledger's key of a debit: the caller's key within the account."""
    return f"debit:{account_id.replace(':', '%3A')}:{key}"


def former_credit_key(account_id: str, key: str) -> str:
    """Return the form that this key had before; ledger entries keep it."""
    return f"credit:{account_id}:{key}"


class Ledger:
    """Queries of the ledger, inside one transaction."""

    def __init__(self, connection: Connection, writes: Gathering) -> None:
        self._connection, self._writes = connection, writes

    def post(self, entry: Entry) -> None:
        """Append an entry. A key that exists already violates a constraint: read it first, under the account's lock."""
        self._writes.insert(LEDGER, values_of(entry))

    def post_all(self, entries: Sequence[Entry]) -> None:
        """Append these, in their order."""
        if entries:
            insert_rows(self._connection, LEDGER, [values_of(entry) for entry in entries])

    def by_key(self, key: str) -> Entry | None:
        """Return the entry under this key."""
        row = self._connection.execute(select(LEDGER).where(LEDGER.c.key == key)).first()
        return snapshot(Entry, row) if row else None

    def credited(self, account_id: str, key: str) -> Entry | None:
        """Return the credit of this account under the caller's key."""
        keys = credit_key(account_id, key), former_credit_key(account_id, key)
        query = select(LEDGER).where(LEDGER.c.key.in_(keys), LEDGER.c.account_id == account_id)
        row = self._connection.execute(query).first()
        return snapshot(Entry, row) if row else None

    def debited(self, account_id: str, key: str) -> Entry | None:
        """Return the debit of this account under the caller's key."""
        query = select(LEDGER).where(LEDGER.c.key == debit_key(account_id, key))
        row = self._connection.execute(query).first()
        return snapshot(Entry, row) if row else None

    def of_account(self, account_id: str, limit: int = 100) -> Sequence[Entry]:
        """Return an account's entries, newest first."""
        query = (
            select(LEDGER).where(LEDGER.c.account_id == account_id).order_by(LEDGER.c.id.desc()).limit(limit)
        )
        return [snapshot(Entry, row) for row in self._connection.execute(query)]

    def lines(
        self, account_id: str, limit: int, *, since: datetime | None = None, before: int | None = None
    ) -> Sequence[tuple[Line, Decimal | None]]:
        """Return an account's entries with its balance after each, newest first; `before`: an entry's id. The balance
        is None if entries of that time are archived, since the sum of the others was never the balance."""
        mine = [LEDGER.c.account_id == account_id]
        if since is not None:
            mine.append(LEDGER.c.at >= since)
        if before is not None:
            mine.append(LEDGER.c.id < before)
        rows = self._connection.execute(select(LEDGER).where(*mine).order_by(LEDGER.c.id.desc()).limit(limit))
        lines = [snapshot(Line, row) for row in rows]
        balance = self._balance_at(account_id, lines[0].id) if lines else Decimal(0)
        exact_from = self._newest_opening(account_id)
        found: list[tuple[Line, Decimal | None]] = []
        for line in lines:
            found.append((line, balance if line.id >= exact_from else None))
            balance -= line.amount if line.credit == book_of(account_id) else -line.amount
        return found

    def is_empty(self, account_id: str) -> bool:
        """Return whether the account has no entry."""
        query = select(LEDGER.c.id).where(LEDGER.c.account_id == account_id).limit(1)
        return self._connection.execute(query).first() is None

    def balance(self, account_id: str) -> Decimal:
        """Return the sum of the entries, which the account's cached balance must equal."""
        return self._balance(account_id)

    def _newest_opening(self, account_id: str) -> int:
        query = select(func.max(LEDGER.c.id)).where(LEDGER.c.account_id == account_id, text(IS_OPENING))
        return self._connection.execute(query).scalar() or 0

    def _balance_at(self, account_id: str, entry: int) -> Decimal:
        """Return the sum of the entries up to this one: the audit's saved sum, plus or minus the entries in between."""
        kept = select(_KEPT.c.ledger_id, _KEPT.c.balance).where(_KEPT.c.account_id == account_id)
        last, balance = self._connection.execute(kept).first() or (0, Decimal(0))
        if entry >= last:
            return balance + self._balance(account_id, LEDGER.c.id > last, LEDGER.c.id <= entry)
        return balance - self._balance(account_id, LEDGER.c.id > entry, LEDGER.c.id <= last)

    def _balance(self, account_id: str, *which: ColumnElement[bool]) -> Decimal:
        book, mine = book_of(account_id), LEDGER.c.account_id == account_id
        came = self._sum(mine, LEDGER.c.credit == book, *which)
        return came - self._sum(mine, LEDGER.c.debit == book, *which)

    def _sum(self, *which: ColumnElement[bool]) -> Decimal:
        total = self._connection.execute(select(func.sum(LEDGER.c.amount)).where(*which)).scalar()
        return Decimal(0) if total is None else Decimal(total)
