"""Stop the session that an account can no longer pay, and warn the user before the funds end."""

from collections.abc import Sequence

from orchestrator.flows.engine.batch import PUT_OFF, Tally, together
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork
from orchestrator.flows.lifecycle.due_stops import stop_many
from orchestrator.rules.states import Step
from orchestrator.store.transaction import Transaction

#: Accounts in one transaction, which bounds how long their jobs wait.
AT_ONCE = 50


def funds_due(services: Services, limit: int = 200) -> Tally:
    """Recompute the funds of every account with a funds step due, many accounts in a transaction."""
    with services.database.reading() as tx:
        due = tx.accounts.due(Step.FUNDS, tx.now(), limit)

    def look(tx: Transaction, account_ids: Sequence[str]) -> None:
        stop_many(services, tx, account_ids, then=AccountWork.recompute_funds)

    tally = Tally()
    for n in range(0, len(due), AT_ONCE):
        tally += together(services, due[n : n + AT_ONCE], look, _put_off)
    return tally


def _put_off(tx: Transaction, account_id: str) -> None:
    tx.accounts.put_off(account_id, tx.now() + PUT_OFF)
