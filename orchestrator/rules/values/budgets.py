"""What an account may spend in a period, and what was announced of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from orchestrator.rules.values.amounts import ZERO

#: Thresholds that are announced, in percent: each once in a period.
THRESHOLDS = (50, 80, 95, 100)


class BudgetPeriod(StrEnum):
    """Calendar periods in UTC."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """One account's budget for each of these periods."""

    period: BudgetPeriod
    amount: Decimal
    max_burn_per_hour: Decimal | None = None
    """No session is admitted beyond this cost per hour, of all that start or run; None: no limit."""
    hard_stop: bool = False
    """Sessions stop with the first block that the budget cannot pay; else it stops none that was admitted."""
    since: date | None = None
    """The first day of the period in which `reached` was announced."""
    reached: int = 0
    """The highest threshold that was announced in that period, in percent; 0: none."""
    carried: Decimal = ZERO
    """What had been used before that period began and is charged within it: it is not used of this period. Known of
    budgets with a hard stop."""


def newly_reached(before: Sequence[Budget], after: Budget) -> Sequence[int]:
    """Return the thresholds of the budget that a change has reached, the lowest first."""
    known = next((one for one in before if one.period is after.period and one.since == after.since), None)
    announced = known.reached if known is not None else 0
    return [percent for percent in THRESHOLDS if announced < percent <= after.reached]
