"""Give back claims that have not begun when a worker leaves, so that another worker takes them at once."""

from dataclasses import replace
from typing import Any

from orchestrator.flows.engine.provider_steps import Answer
from orchestrator.flows.engine.services import Services
from orchestrator.flows.lifecycle import failover, transitions
from orchestrator.flows.steps.under_lease import Held, lock_under_lease
from orchestrator.rules.states import State, Step
from orchestrator.rules.values import Due
from orchestrator.store.transaction import Transaction


def give_back(services: Services, answer: Answer[Any, Any]) -> None:
    """Make the step due again as if it had never been claimed; nothing was asked."""
    step = answer.claimed.step

    def give(tx: Transaction) -> None:
        held = lock_under_lease(services, tx, answer)
        if held is None:
            return
        if held.lease_held:
            _make_due_again(tx, held, step)
            tx.placements.wake(step)
        if held.work is not None:
            held.work.finish()

    services.database.transact(give)


def _make_due_again(tx: Transaction, held: Held, step: Step) -> None:
    placement = held.placement
    given_back = replace(
        placement,
        due=Due(step, tx.now()),
        lease=None,
        attempts=max(placement.attempts - 1, 0),
        sent_at=None if step is Step.OPEN else placement.sent_at,
    )
    saved = tx.placements.save(placement, given_back)
    unwanted = held.session is not None and held.session.state is not State.STARTING
    if step is Step.OPEN and unwanted and held.work is not None and held.session is not None:
        transitions.begin_close(held.work, saved, held.session)
        failover.finish_if_closed(held.work, held.session)
