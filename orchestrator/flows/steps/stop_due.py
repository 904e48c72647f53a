"""Stop sessions that are due to stop. A rule's stop takes effect at its own instant, however late it is decided."""

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.flows.engine import crowd
from orchestrator.flows.engine.batch import PUT_OFF, Tally, together
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle.due_stops import stop_many
from orchestrator.store.transaction import Transaction


def stop_due(services: Services, limit: int = 500) -> Tally:
    """Apply the due stops of up to `limit` accounts, many accounts in a transaction. A ping's lease does not delay
    them. Stop some sessions of each account, then more of those with more, so that no account waits for another."""
    with services.database.reading() as tx:
        due = dict(tx.sessions.accounts_to_stop(tx.now(), limit))
    tally = Tally()
    while due and not services.slots.closed:
        left: set[str] = set()

        def stop(tx: Transaction, account_ids: Sequence[str], left: set[str] = left) -> None:
            more = stop_many(services, tx, account_ids)
            left.difference_update(account_ids)
            left.update(more)

        for accounts in batches(due):
            tally += together(services, accounts, stop, _put_off)
        due = {account_id: due[account_id] for account_id in due if account_id in left}
    return tally


def batches(due: Mapping[str, int]) -> Iterator[Sequence[str]]:
    """Yield accounts in batches of about as many stops as may be in one transaction. `due`: stops of each account, of
    which no more than that many are done at once."""
    accounts: list[str] = []
    stops = 0
    for account_id, number in due.items():
        if accounts and stops + number > crowd.STOPS_AT_ONCE:
            yield accounts
            accounts, stops = [], 0
        accounts.append(account_id)
        stops += min(number, crowd.STOPS_AT_ONCE)
    if accounts:
        yield accounts


def _put_off(tx: Transaction, account_id: str) -> None:
    now = tx.now()
    tx.sessions.put_off_stops(account_id, now, now + PUT_OFF)
