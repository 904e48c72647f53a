"""Named queries over meters: what pings cost at each provider, and its own balance."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.values import Meter
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of

METERS = table_of("meters")


class Meters:
    """Queries and changes of meters, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def count(self, provider: str, *, pings: int, tokens: int, cost_usd: Decimal) -> None:
        """Add the cost of a batch of pings."""
        added = {
            "pings": METERS.c.pings + pings,
            "tokens": METERS.c.tokens + tokens,
            "cost_usd": METERS.c.cost_usd + cost_usd,
        }
        counted = update(METERS).where(METERS.c.provider == provider).values(**added)
        if not self._connection.execute(counted).rowcount:
            self._make(provider)
            self._connection.execute(counted)

    def note_balance(
        self, provider: str, amount: Decimal, currency: str, now: datetime, *, is_low: bool
    ) -> bool:
        """Save the balance that the provider reports. Return whether it was low before."""
        self._make(provider)
        row = self._connection.execute(
            select(METERS.c.balance_is_low).where(METERS.c.provider == provider).with_for_update()
        ).one()
        values = {
            "balance": amount,
            "balance_currency": currency,
            "balance_at": now,
            "balance_is_low": is_low,
        }
        self._connection.execute(update(METERS).where(METERS.c.provider == provider).values(**values))
        return bool(row.balance_is_low)

    def listed(self) -> Sequence[Meter]:
        """Return all meters, by provider."""
        query = select(METERS).order_by(METERS.c.provider)
        return [snapshot(Meter, row) for row in self._connection.execute(query)]

    def _make(self, provider: str) -> None:
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(METERS).values(**values_of(Meter(provider=provider)))
        self._connection.execute(statement.on_conflict_do_nothing(index_elements=["provider"]))
