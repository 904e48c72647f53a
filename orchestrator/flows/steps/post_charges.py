"""Post what running sessions have cost so far: hourly, so that the ledger stays close to the true cost."""

from orchestrator.flows.engine import crowd
from orchestrator.flows.engine.batch import PUT_OFF, Tally, each
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.account_work import AccountWork, lock_account
from orchestrator.flows.lifecycle.due_stops import apply_due_stops
from orchestrator.rules.billing import funds
from orchestrator.rules.states import Step
from orchestrator.store.transaction import Transaction

#: Sessions of one account in one transaction, which bounds how long jobs of the account wait.
AT_ONCE = 40


def post_charges(services: Services, limit: int = 200, at_once: int = AT_ONCE) -> Tally:
    """Post the costs of every due account; one with more than `at_once` sessions, or with many stops that come first,
    stays due."""
    with services.database.reading() as tx:
        due = tx.accounts.due(Step.CHARGE, tx.now(), limit)

    def post(tx: Transaction, account_id: str) -> None:
        locked = lock_account(services, tx, account_id, waits=False)
        if locked is None:
            return
        work = AccountWork(services, tx, *locked)
        more = apply_due_stops(work, crowd.STOPS_AT_ONCE)
        charge_at = work.account.next_charge_at
        if not more and charge_at is not None and charge_at <= work.now:
            last = work.post_costs(funds.charged_up_to(work.account), at_once)
            done = funds.charged(work.account, work.now)
            work.account = done if last is None else funds.charging(work.account, last)
        work.finish()

    return each(services, due, post, lambda tx, row: tx.accounts.put_off(row, tx.now() + PUT_OFF))
