"""One operation of an operator under a key: checks, releases and reconciles, which are more than one transaction.

It is recorded with its author before it begins, and again with its outcome. Each can be done twice without harm: where
its process dies meanwhile, the same key does it again."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.client.outcomes import refused, succeeded
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.perform import Performed
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.transaction import Transaction


def perform_under_key(
    services: Services,
    task_id: str,
    name: str,
    arguments: Mapping[str, Any],
    author: str,
    work: Callable[[], Mapping[str, Any]],
) -> Performed:
    """Do the work and keep its result under the task id, or return the outcome that is kept there. `arguments`: what
    makes it another operation."""
    fingerprint = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()

    def begin(tx: Transaction) -> Performed | None:
        if tx.inbox.take(task_id, name, tx.now(), fingerprint, author):
            return None
        first = tx.inbox.lock(task_id)
        assert first is not None  # it is kept for a month
        if first.is_another(name, fingerprint):
            message = f"this key was used before, for another request ({first.name}): send each under its own"
            refusal = Refusal(ErrorCode.CONFLICT, message, task_id=task_id, job=first.name)
            return Performed(outcome=refused(refusal), reused=True)
        return None if first.outcome is None else Performed(outcome=dict(first.outcome), replayed=True)

    known = services.database.transact(begin)
    if known is not None:
        return known
    outcome = succeeded(work())

    def end(tx: Transaction) -> Performed:
        first = tx.inbox.lock(task_id)
        if first is not None and first.outcome is not None:  # the same request, which was faster
            return Performed(outcome=dict(first.outcome), replayed=True)
        tx.inbox.settle(task_id, outcome)
        return Performed(outcome=outcome)

    return services.database.transact(end)
