"""Stop what should have stopped. A rule's stop takes effect at its own instant, however late it is decided."""

from orchestrator.flows.account_work import on_account
from orchestrator.flows.services import Services
from orchestrator.flows.upkeep import PUT_OFF, Tally, each
from orchestrator.rules.states import State
from orchestrator.store.unit import Transaction

Row = tuple[str, str]


def stop_due(services: Services, limit: int = 200) -> Tally:
    """Apply the due stops of every account that has one, in spite of any ping's lease."""
    with services.database.reading() as tx:
        due = tx.sessions.due_to_stop(tx.now(), limit)

    def stop(tx: Transaction, row: Row) -> None:
        work = on_account(services, tx, row[1], waits=False)
        session = tx.sessions.lock(row[0]) if work else None
        if work is None or session is None:
            return
        if session.state in {
            State.STARTING,
            State.RUNNING,
        }:  # the rule now says later: the policy was changed
            work.keep(session, work.planned(session))
        work.finish()

    return each(services, due, stop, lambda tx, row: tx.sessions.attempted(row[0], tx.now() + PUT_OFF))
