"""Post what running sessions have cost so far: hourly, so that the ledger never lags far behind the formula."""

from dataclasses import replace

from orchestrator.flows.account_work import on_account
from orchestrator.flows.services import Services
from orchestrator.flows.upkeep import PUT_OFF, Tally, each
from orchestrator.rules.funds import POST_EVERY
from orchestrator.rules.states import Step
from orchestrator.store.unit import Transaction


def post_charges(services: Services, limit: int = 200) -> Tally:
    """Post the costs of every account whose hour has come."""
    with services.database.reading() as tx:
        due = tx.accounts.due(Step.CHARGE, tx.now(), limit)

    def post(tx: Transaction, account_id: str) -> None:
        work = on_account(services, tx, account_id, waits=False)
        if work is None:
            return
        charge_at = work.account.next_charge_at
        if charge_at is not None and charge_at <= work.now:
            work.post_costs()
            work.account = replace(work.account, next_charge_at=work.now + POST_EVERY)
        work.finish()

    return each(services, due, post, lambda tx, row: tx.accounts.put_off(row, tx.now() + PUT_OFF))
