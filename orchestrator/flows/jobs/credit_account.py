"""Credit an account. The key makes a repeated request take effect once."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from orchestrator.client.requests import CreditAccount
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.reports import views
from orchestrator.rules import events
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.queries.ledger import credit_key
from orchestrator.store.transaction import Transaction

#: The largest amount: the store counts money in millionths, in 64 bits, and adds up ledgers.
LARGEST_BALANCE = Decimal(10) ** 12


def credit_account(services: Services, tx: Transaction, request: CreditAccount) -> Mapping[str, Any]:
    """Credit the account and return it. Due stops are applied first: a credit after the end of the funds saves no
    session."""
    work = lookup.account(services, tx, request.account_id)
    if request.currency != work.account.currency:
        message = f"account {work.account.id} is kept in {work.account.currency}, not in {request.currency}"
        raise Refusal(ErrorCode.CURRENCY_MISMATCH, message, account_currency=work.account.currency)
    key = credit_key(request.account_id, request.key)
    known = tx.ledger.credited(request.account_id, request.key)
    if known is not None and known.amount != request.amount:
        message = f"key: {request.key} was used for another amount; a new credit needs a new key"
        raise Refusal(ErrorCode.CONFLICT, message, key=request.key)
    if known is None and work.account.balance + request.amount > LARGEST_BALANCE:
        message = (
            f"account {work.account.id} would hold more than {money_text(LARGEST_BALANCE)} {request.currency}"
        )
        raise Refusal(ErrorCode.LIMIT_EXCEEDED, message, field="amount", limit=str(LARGEST_BALANCE))
    if known is None:
        work.recompute_funds()
        work.credit(request.amount, key)
        tx.outbox.add([events.credited(work.account, views.as_text(request.amount), request.key)])
    return views.of_account(work.finish())
