"""Post what running sessions have cost so far: hourly, so that the ledger never lags far behind the formula."""

from dataclasses import replace

from orchestrator.flows.account_work import on_account
from orchestrator.flows.services import Services
from orchestrator.flows.upkeep import PUT_OFF, Tally, each
from orchestrator.rules.funds import POST_EVERY
from orchestrator.rules.states import Step
from orchestrator.store.unit import Transaction

#: Sessions of one account in one transaction: jobs of the account wait that long, and no longer.
AT_ONCE = 200


def post_charges(services: Services, limit: int = 200, at_once: int = AT_ONCE) -> Tally:
    """Post the costs of every account whose hour has come; one with more than `at_once` sessions stays due."""
    with services.database.reading() as tx:
        due = tx.accounts.due(Step.CHARGE, tx.now(), limit)

    def post(tx: Transaction, account_id: str) -> None:
        work = on_account(services, tx, account_id, waits=False)
        if work is None:
            return
        charge_at = work.account.next_charge_at
        if charge_at is not None and charge_at <= work.now:
            more = work.post_costs(charge_at, at_once)
            if not more:
                work.account = replace(work.account, next_charge_at=work.now + POST_EVERY)
        work.finish()

    return each(services, due, post, lambda tx, row: tx.accounts.put_off(row, tx.now() + PUT_OFF))
