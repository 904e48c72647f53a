"""Stop sessions that are due to stop. A rule's stop takes effect at its own instant, however late it is decided."""

from orchestrator.flows.engine.batch import PUT_OFF, Tally, each
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.due_stops import stop_some
from orchestrator.store.transaction import Transaction


def stop_due(services: Services, limit: int = 200) -> Tally:
    """Apply the due stops of up to `limit` accounts. A ping's lease does not delay them. Stop some sessions of each
    account, then more of those with more, so that no account waits for another."""
    with services.database.reading() as tx:
        due = list(tx.sessions.accounts_to_stop(tx.now(), limit))
    claimed = settled = 0
    while due and not services.slots.closed:
        has_more: dict[str, bool] = {}

        def stop(tx: Transaction, account_id: str, found: dict[str, bool] = has_more) -> None:
            found[account_id] = stop_some(services, tx, account_id, waits=False)

        tally = each(services, due, stop, _put_off)
        claimed, settled = claimed + tally.claimed, settled + tally.settled
        due = [account_id for account_id in due if has_more.get(account_id)]
    return Tally(claimed=claimed, settled=settled, failed=claimed - settled)


def _put_off(tx: Transaction, account_id: str) -> None:
    now = tx.now()
    tx.sessions.put_off_stops(account_id, now, now + PUT_OFF)
