"""Read the database: the sessions of the table on the screen, and whether the money adds up."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from orchestrator.flows.reports import views
from orchestrator.store.database import Database

_MOST = 500


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """An account's cached balance, and the sum of its ledger."""

    account_id: str
    cached: Decimal
    ledger: Decimal

    @property
    def is_right(self) -> bool:
        return self.cached == self.ledger and self.cached >= 0


class StoreView:
    """Read-only queries."""

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url, pool_size=2)

    def sessions(self) -> list[dict[str, Any]]:
        """Return every session as other services see it, an account's oldest first."""
        with self._database.reading() as tx:
            found = sorted(tx.sessions.listed(limit=_MOST), key=lambda s: (s.account_id, s.created_at))
            return views.of_sessions(tx, found, tx.now())

    def balances(self) -> list[AccountBalance]:
        """Return every account's balance, cached and from the ledger."""
        with self._database.reading() as tx:
            return [
                AccountBalance(account.id, account.balance, tx.ledger.balance(account.id))
                for account in tx.accounts.listed()
            ]

    def close(self) -> None:
        self._database.dispose()
