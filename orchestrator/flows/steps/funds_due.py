"""Stop the session that an account can no longer pay, and warn the user before the funds end."""

from orchestrator.flows.engine.batch import PUT_OFF, Tally, each
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.due_stops import on_account
from orchestrator.rules.states import Step
from orchestrator.store.transaction import Transaction


def funds_due(services: Services, limit: int = 200) -> Tally:
    """Recompute the funds of every account with a funds step due."""
    with services.database.reading() as tx:
        due = tx.accounts.due(Step.FUNDS, tx.now(), limit)

    def look(tx: Transaction, account_id: str) -> None:
        work = on_account(services, tx, account_id, waits=False)
        if work is not None:
            work.recompute_funds()
            work.finish()

    return each(services, due, look, lambda tx, row: tx.accounts.put_off(row, tx.now() + PUT_OFF))
