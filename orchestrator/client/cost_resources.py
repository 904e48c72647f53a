"""The shapes of what accounts spend: budgets, and costs added up."""

from typing import Literal

from orchestrator.client.resources import MoneyText, Resource, Time, money


class BudgetResource(Resource):
    """A budget of an account, in the period that is now."""

    period: Literal["day", "month"]
    since: str
    amount: str = money()
    used: str = money()
    """Charged in this period, and used by running sessions and not charged yet."""
    left: str = money()
    reached_percent: int
    """The highest threshold that was announced in this period; 0: none."""
    max_burn_per_hour: MoneyText | None
    hard_stop: bool
    """Whether running sessions stop with the first block that the budget cannot pay."""
    stops_at: Time
    """When that block begins; null if none is foreseen in this period, or the balance ends before."""


class BudgetsResource(Resource):
    """The budgets of an account."""

    account_id: str
    currency: str
    budgets: list[BudgetResource]


class CostLineResource(Resource):
    """The costs of one key in one currency. What comes is null by day; with more than 3,000 running sessions, what is
    not yet charged and what is expected are null."""

    key: str | None
    """An account, a model, a provider or a day; null in a total."""
    currency: str
    spent: str = money()
    """Charges in the ledger, less what was given back or written off."""
    not_yet_charged: MoneyText | None
    burning_per_hour: MoneyText | None
    expected: MoneyText | None
    """What will have been spent once each running session has reached its coming stop."""


class CostsResource(Resource):
    """Costs since a day, added up by one criterion."""

    by: Literal["account", "model", "provider", "day"]
    since: str
    at: str
    account_id: str | None
    items: list[CostLineResource]
    more: int
    """Lines that are in the totals only."""
    totals: list[CostLineResource]
