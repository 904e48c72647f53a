"""Stop what should have stopped. A rule's stop takes effect at its own instant, however late it is decided."""

import logging

from orchestrator.flows.account_work import stop_some
from orchestrator.flows.services import Services
from orchestrator.flows.upkeep import PUT_OFF, Tally
from orchestrator.store.database import StoreOutage

log = logging.getLogger(__name__)


def stop_due(services: Services, limit: int = 200) -> Tally:
    """Apply the due stops of up to `limit` accounts, in spite of any ping's lease: some of each, then some more of
    those that have more, so that no account waits for another. Where one fails, it is logged, and the account is put
    off."""
    with services.database.reading() as tx:
        due = tx.sessions.accounts_to_stop(tx.now(), limit)
    claimed, failed = len(due), 0
    while due:
        left = []
        for account_id in due:
            if services.slots.closed:  # this process leaves; what is due stays due
                return Tally(claimed=claimed, settled=claimed - failed - len(due), failed=failed)
            try:
                if stop_some(services, account_id, waits=False):
                    left.append(account_id)
            except StoreOutage:
                raise  # the database, not the account: the next tick tries again
            except Exception:  # a defect in one row must not keep other accounts from being stopped
                log.exception("the due stops of account %s failed; they are put off", account_id)
                _put_off(services, account_id)
                failed += 1
        due = left
    return Tally(claimed=claimed, settled=claimed - failed, failed=failed)


def _put_off(services: Services, account_id: str) -> None:
    services.database.transact(lambda tx: tx.sessions.put_off_stops(account_id, tx.now(), tx.now() + PUT_OFF))
