"""The jobs about accounts: the contract's names, defaults and limits. Fields are only added."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, Self

from pydantic import model_validator

from orchestrator.client import fields
from orchestrator.client.base import Part, Request


class QuotaRequest(Part):
    """An account's own numbers: what is left out stays, "plan" is its plan's again, "unlimited" is no limit."""

    max_sessions: fields.Limit | None = None
    max_concurrent: fields.Limit | None = None
    max_nodes: fields.Limit | None = None
    max_nodes_total: fields.Limit | None = None

    def laid_over(self, own: Mapping[str, int | None]) -> dict[str, int | None]:
        """Return the snapshot's mapping: only the account's own limits; None means no limit."""
        wanted = {**own, **self.model_dump(exclude_none=True)}
        numbers = {name: limit for name, limit in wanted.items() if limit != fields.THE_PLANS}
        return {name: None if limit == fields.UNLIMITED else limit for name, limit in numbers.items()}


class PutAccount(Request):
    """Who knows only plan and currency takes nothing away: the numbers of its own that are left out stay."""

    account_id: fields.Identifier
    plan: fields.Identifier
    currency: fields.Currency
    quota: QuotaRequest = QuotaRequest()
    overdraft_limit: fields.Overdraft | None = None
    """How far the balance may go below zero; "0" is not at all, "plan" is the plan's again."""

    def overdraft_over(self, own: Decimal | None) -> Decimal | None:
        """Return the account's own overdraft from now on; None: the plan's."""
        if self.overdraft_limit is None:
            return own
        return None if self.overdraft_limit == fields.THE_PLANS else self.overdraft_limit


class CreditAccount(Request):
    account_id: fields.Identifier
    amount: fields.Money
    currency: fields.Currency
    key: fields.Line
    """The same key credits once."""


class BudgetAccount(Request):
    """What the account may spend in each day or month (UTC); without an amount there is no such budget from now on."""

    account_id: fields.Identifier
    period: Literal["day", "month"]
    amount: fields.Money | None = None
    currency: fields.Currency
    max_burn_per_hour: fields.Money | None = None
    """No session is admitted beyond this cost per hour, of all that start or run."""
    hard_stop: bool = False
    """Running sessions stop with the first block that the budget cannot pay, too."""

    @model_validator(mode="after")
    def _has_an_amount_beside_its_rate(self) -> Self:
        if self.amount is None and self.max_burn_per_hour is not None:
            sentence = "{} is part of a budget, which needs an {}: without it the budget is removed"
            raise fields.fault("amount", sentence, "max_burn_per_hour", "amount")
        if self.amount is None and self.hard_stop:
            sentence = "{} is part of a budget, which needs an {}: without it the budget is removed"
            raise fields.fault("amount", sentence, "hard_stop", "amount")
        return self


class DebitAccount(Request):
    """Take back money that was credited by mistake, or refund it outside; never what running sessions have cost."""

    account_id: fields.Identifier
    amount: fields.Money
    currency: fields.Currency
    key: fields.Line
    """The same key debits once."""
    reason: fields.Line
    author: fields.Line
    """The person or service that is responsible for it."""
