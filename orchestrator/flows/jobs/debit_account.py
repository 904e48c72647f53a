"""Take money back from an account. The key makes a repeated request take effect once."""

from collections.abc import Mapping
from typing import Any

from orchestrator.client.requests import DebitAccount
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs import lookup
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.reports import views
from orchestrator.rules import events
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import ZERO
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.queries.ledger import debit_key
from orchestrator.store.transaction import Transaction


def debit_account(services: Services, tx: Transaction, request: DebitAccount) -> Mapping[str, Any]:
    """Debit the account and return it. What running sessions have cost by now stays owed; they stop when the rest is
    spent."""
    work = lookup.account(services, tx, request.account_id)
    if request.currency != work.account.currency:
        message = f"account {work.account.id} is kept in {work.account.currency}, not in {request.currency}"
        raise Refusal(ErrorCode.CURRENCY_MISMATCH, message, account_currency=work.account.currency)
    note = f"{request.reason} (by {request.author})"
    known = tx.ledger.debited(request.account_id, request.key)
    if known is not None and (known.amount, known.note) != (request.amount, note):
        message = f"key: {request.key} was used for another debit; a new debit needs a new key"
        raise Refusal(ErrorCode.CONFLICT, message, key=request.key)
    if known is None:
        _check_covered(work, request)
        work.recompute_funds()
        work.debit(request.amount, debit_key(request.account_id, request.key), note)
        amount = views.as_text(request.amount)
        tx.outbox.add([events.debited(work.account, amount, request.key, request.reason, request.author)])
    return views.of_account(work.finish())


def _check_covered(work: AccountWork, request: DebitAccount) -> None:
    if request.amount <= work.account.balance - work.burning.uncharged_at_most(work.now):
        return
    owed = work.burning.uncharged(work.now)
    free = work.account.balance - owed
    if request.amount > free:
        message = (
            f"amount: {money_text(request.amount)} {request.currency} is more than the "
            f"{money_text(max(free, ZERO))} left after the cost of its sessions so far: debit less"
        )
        raise Refusal(
            ErrorCode.INSUFFICIENT_BALANCE,
            message,
            balance=money_text(work.account.balance),
            owed=money_text(owed),
            currency=request.currency,
        )
