"""One job of another service: inbox row, effect, events and outcome in one transaction. No job calls a provider."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.client.outcomes import refused, succeeded
from orchestrator.client.parsing import parse
from orchestrator.client.requests import Request
from orchestrator.flows.close_session import close_session
from orchestrator.flows.create_session import create_session
from orchestrator.flows.credit_account import credit_account
from orchestrator.flows.delete_session import delete_session
from orchestrator.flows.extend_session import extend_session
from orchestrator.flows.ping_session import ping_session
from orchestrator.flows.put_account import put_account
from orchestrator.flows.put_model import put_model
from orchestrator.flows.record_interactions import record_interactions
from orchestrator.flows.services import Services
from orchestrator.flows.start_session import start_session
from orchestrator.observability import metrics
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.unit import Transaction

Effect = Callable[[Services, Transaction, Any], Mapping[str, Any]]

EFFECTS: Mapping[str, Effect] = {
    "orchestrator.session.create": create_session,
    "orchestrator.session.start": start_session,
    "orchestrator.session.close": close_session,
    "orchestrator.session.extend": extend_session,
    "orchestrator.session.ping": ping_session,
    "orchestrator.session.delete": delete_session,
    "orchestrator.session.record_interactions": record_interactions,
    "orchestrator.account.put": put_account,
    "orchestrator.account.credit": credit_account,
    "orchestrator.model.put": put_model,
}


def perform(services: Services, task_id: str, name: str, kwargs: Any) -> dict[str, Any]:
    """The job's outcome: the first one, however often it comes. Always an outcome, never an exception of the
    caller's making."""
    if not task_id.isprintable():  # a database may refuse it, and then it can have no row
        message = "the task id has characters that cannot be printed: use a UUID"
        return refused(Refusal(ErrorCode.INVALID_REQUEST, message))

    def once(tx: Transaction) -> dict[str, Any]:
        if not tx.inbox.take(task_id, name, tx.now()):
            known = tx.inbox.outcome(task_id)
            assert known is not None  # taken and settled in one transaction
            return dict(known)
        outcome = _outcome(services, tx, name, kwargs)
        tx.inbox.settle(task_id, outcome)
        return outcome

    outcome = services.database.transact(once)
    said = "ok" if outcome["ok"] else outcome["error"]["code"]
    metrics.JOBS.labels(name, said).inc()
    return outcome


def give_up(services: Services, task_id: str, name: str, why: str) -> dict[str, Any]:
    """The outcome of a job that no try could do, unless it has one by now. `why`: without a value of the job's."""
    lost = failed_at_every_try(why)

    def once(tx: Transaction) -> dict[str, Any]:
        if not tx.inbox.take(task_id, name, tx.now()):
            return dict(tx.inbox.outcome(task_id) or lost)
        tx.inbox.settle(task_id, lost)
        return lost

    outcome = services.database.transact(once)
    metrics.JOBS.labels(name, outcome["error"]["code"] if not outcome["ok"] else "ok").inc()
    return outcome


def failed_at_every_try(why: str) -> dict[str, Any]:
    """The outcome of a job that no try could do. `why`: without a value of the job's."""
    message = f"the job failed at every try ({why}), and nothing was changed; the worker's log says where"
    return refused(Refusal(ErrorCode.INTERNAL_ERROR, message))


def _outcome(services: Services, tx: Transaction, name: str, kwargs: Any) -> dict[str, Any]:
    try:
        request: Request = parse(name, kwargs)
        with tx.savepoint():
            return succeeded(EFFECTS[name](services, tx, request))
    except Refusal as refusal:
        return refused(refusal)
