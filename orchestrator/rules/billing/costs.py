"""What was spent, what running sessions burn, and what they will have cost by their ends, added up by one criterion."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from orchestrator.rules.billing import money
from orchestrator.rules.billing.meters import Metered
from orchestrator.rules.values import ZERO


class CostsBy(StrEnum):
    """What costs are added up by."""

    ACCOUNT = "account"
    MODEL = "model"
    PROVIDER = "provider"
    DAY = "day"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpentSum:
    """What was charged in one currency, less what was given back or written off. `key`: an id, a name or a day."""

    key: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class BurningSum:
    """What running sessions cost an hour in one currency. `key`: an id or a name; None by day."""

    key: str | None
    currency: str
    per_hour: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningCost:
    """A running session, as far as its costs go."""

    account_id: str
    model_id: str
    provider: str
    currency: str
    meter: Metered
    ends_at: datetime | None
    """When its coming stop takes effect, as things are now."""

    def key(self, by: CostsBy) -> str | None:
        """Return what its costs belong to; None: they belong to no day yet."""
        return {
            CostsBy.ACCOUNT: self.account_id,
            CostsBy.MODEL: self.model_id,
            CostsBy.PROVIDER: self.provider,
            CostsBy.DAY: None,
        }[by]

    def not_yet_charged(self, now: datetime) -> Decimal:
        """Return what it has used by now and is not in the ledger: a stop that is due ends its cost."""
        if self.ends_at is not None and self.ends_at <= now:
            return self.to_come(now)
        return money.uncharged(self.meter, now)

    def to_come(self, now: datetime) -> Decimal:
        """Return what it will be charged from now on if it runs until its coming stop."""
        return money.cost_if_stopped_at(self.meter, self.ends_at or now) - self.meter.charged


@dataclass(kw_only=True, slots=True)
class CostLine:
    """The costs of one key in one currency. `key` is None for all keys together."""

    key: str | None
    currency: str
    spent: Decimal = ZERO
    not_yet_charged: Decimal = ZERO
    burning_per_hour: Decimal = ZERO
    expected: Decimal = ZERO
    """What will have been spent once each running session has reached its coming stop."""

    def spend(self, amount: Decimal) -> None:
        """Add what was spent."""
        self.spent += amount
        self.expected += amount

    def run(self, one: RunningCost, now: datetime) -> None:
        """Add a session that runs."""
        self.not_yet_charged += one.not_yet_charged(now)
        self.burning_per_hour += money.burn_per_hour([one.meter])
        self.expected += one.to_come(now)


@dataclass(frozen=True, kw_only=True, slots=True)
class CostReport:
    """Lines by key, and the totals of all keys by currency."""

    lines: Sequence[CostLine]
    totals: Sequence[CostLine]


def added_up(
    by: CostsBy,
    spent: Iterable[SpentSum],
    running: Iterable[RunningCost],
    now: datetime,
    burning: Iterable[BurningSum] = (),
) -> CostReport:
    """Return the lines: days newest first, other keys by what they have cost, the highest first. `burning`: what
    sessions cost an hour that are not among `running`."""
    lines: dict[tuple[str | None, str], CostLine] = {}
    totals: dict[str, CostLine] = {}
    for one in spent:
        for line in _lines(lines, totals, one.key, one.currency):
            line.spend(one.amount)
    for session in running:
        for line in _lines(lines, totals, session.key(by), session.currency):
            line.run(session, now)
    for burns in burning:
        for line in _lines(lines, totals, burns.key, burns.currency):
            line.burning_per_hour += burns.per_hour
    in_order = sorted(
        lines.values(), key=lambda line: (line.key or "", line.currency), reverse=by is CostsBy.DAY
    )
    if by is not CostsBy.DAY:
        in_order.sort(key=lambda line: line.spent + line.not_yet_charged, reverse=True)
    return CostReport(lines=in_order, totals=[totals[currency] for currency in sorted(totals)])


def _lines(
    lines: dict[tuple[str | None, str], CostLine],
    totals: dict[str, CostLine],
    key: str | None,
    currency: str,
) -> Sequence[CostLine]:
    """Return the lines to which something of this key is added."""
    total = totals.setdefault(currency, CostLine(key=None, currency=currency))
    if key is None:
        return (total,)
    return lines.setdefault((key, currency), CostLine(key=key, currency=currency)), total
