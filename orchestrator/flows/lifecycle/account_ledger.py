"""Post to the ledger, and keep the balance, which is a cache of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.rules.values import ZERO, Account, Session
from orchestrator.rules.values.copies import replace
from orchestrator.store.queries.ledger import Entry, book_of
from orchestrator.store.transaction import Transaction


class AccountLedger:
    """Postings of one transaction, under the account's lock."""

    def __init__(self, tx: Transaction, now: datetime) -> None:
        self._tx = tx
        self._now = now
        self._gathered: list[Entry] | None = None

    def credit(self, account: Account, amount: Decimal, key: str) -> Account:
        """Add money: granted credit moves to the account, under `key`."""
        self._post(account, amount, kind="credit", key=key, debit="granted", credit=book_of(account.id))
        return replace(account, balance=account.balance + amount)

    def debit(self, account: Account, amount: Decimal, key: str, note: str) -> Account:
        """Take money back: it moves from the account to granted credit, under `key`."""
        self._post(
            account, amount, kind="debit", key=key, debit=book_of(account.id), credit="granted", note=note
        )
        return replace(account, balance=account.balance - amount)

    def charge(
        self, account: Account, session: Session, cost: Decimal, overdraft: Decimal
    ) -> tuple[Account, Session]:
        """Move what of `cost` is not charged yet to the revenue, under the key (session, n).

        What exceeds the overdraft is written off. That cannot happen while `funds_end_at` is right; if it does, the
        loss is ours, and visible. A limit that was lowered meanwhile does not reduce the debt."""
        amount = cost - session.charged
        if amount <= ZERO:
            return account, session
        n = session.charges + 1
        key = f"charge:{session.id}:{n}"
        mine: Mapping[str, Any] = {"session_id": session.id}
        book = book_of(account.id)
        self._post(account, amount, kind="charge", key=key, debit=book, credit="revenue", **mine)
        balance = account.balance - amount
        lowest = min(account.balance, -overdraft)
        if balance < lowest:
            off = lowest - balance
            self._post(
                account, off, kind="write_off", key=f"{key}:off", debit="written_off", credit=book, **mine
            )
            balance = lowest
        charged = replace(account, balance=balance, charged_under=-lowest)
        return charged, replace(session, charged=cost, charges=n)

    def reverse(self, account: Account, session: Session, cost: Decimal, why: str) -> tuple[Account, Session]:
        """Move what was charged beyond `cost` back to the account, under the key (session, n) of the next posting."""
        amount = session.charged - cost
        if amount <= ZERO:
            return account, session
        n = session.charges + 1
        self._post(
            account,
            amount,
            kind="reversal",
            key=f"charge:{session.id}:{n}",
            debit="revenue",
            credit=book_of(account.id),
            session_id=session.id,
            note=why,
        )
        back = replace(account, balance=account.balance + amount)
        return back, replace(session, charged=cost, charges=n)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write all postings made within it at its end, in one statement."""
        gathered = self._gathered = []
        yield
        self._gathered = None
        self._tx.ledger.post_all(gathered)

    def _post(self, account: Account, amount: Decimal, **named: Any) -> None:
        owner = {"account_id": account.id, "currency": account.currency}
        entry = Entry(at=self._now, amount=amount, **owner, **named)
        if self._gathered is None:
            self._tx.ledger.post(entry)
        else:
            self._gathered.append(entry)
