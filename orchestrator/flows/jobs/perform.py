"""One job of another service: inbox row, effect, events and outcome in one transaction. No job calls a provider.

A refusal undoes that transaction; a second transaction saves the refusal as the outcome."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.client.outcomes import refused, succeeded
from orchestrator.client.parsing import fingerprint as fingerprint_of
from orchestrator.client.parsing import parse
from orchestrator.client.requests import RecordInteractions, Request
from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.close_session import close_session
from orchestrator.flows.jobs.create_session import create_session
from orchestrator.flows.jobs.credit_account import credit_account
from orchestrator.flows.jobs.debit_account import debit_account
from orchestrator.flows.jobs.delete_session import delete_session
from orchestrator.flows.jobs.extend_session import extend_session
from orchestrator.flows.jobs.ping_session import ping_session
from orchestrator.flows.jobs.put_account import put_account
from orchestrator.flows.jobs.put_model import put_model
from orchestrator.flows.jobs.record_interactions import accounts_of, record_interactions, record_of
from orchestrator.flows.jobs.start_session import start_session
from orchestrator.flows.lifecycle.due_stops import after_stops
from orchestrator.observability import metrics
from orchestrator.rules.installation.messages import task_id_fault
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.store.queries.inbox import KnownJob
from orchestrator.store.transaction import Transaction

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
    "orchestrator.account.debit": debit_account,
    "orchestrator.model.put": put_model,
}


def perform(services: Services, task_id: str, name: str, kwargs: Any) -> dict[str, Any]:
    """Perform the job and return its outcome. A message that arrives again gets the first outcome. A caller's mistake
    is an outcome, never an exception.

    Raises AccountBusy where too many threads wait for its account: retry later."""
    fault = task_id_fault(task_id)
    if fault is not None:  # no row can be kept under it
        return refused(Refusal(ErrorCode.INVALID_REQUEST, fault))
    job = _Job.of(name, kwargs)
    try:
        return _counted(name, _outcome(services, task_id, job))
    except AccountBusy as busy:
        with services.crowd.turn(busy.account_id):
            return _counted(name, _outcome(services, task_id, job))


def _outcome(services: Services, task_id: str, job: "_Job") -> dict[str, Any]:
    if isinstance(job.request, Refusal):
        return _refuse(services, task_id, job, job.request)
    try:
        return _perform(services, task_id, job)
    except Refusal as refusal:  # its transaction was undone
        return _refuse(services, task_id, job, refusal)


def _perform(services: Services, task_id: str, job: "_Job") -> dict[str, Any]:
    for account_id in _accounts_before_the_last(services, job):
        _do_part(services, task_id, job, account_id)

    def once(tx: Transaction) -> dict[str, Any]:
        under_way = _take(tx, task_id, job)
        if under_way is None:
            return _known(tx, task_id, job.name, job.fingerprint)
        outcome = _done(services, tx, job, under_way.parts)
        tx.inbox.settle(task_id, outcome)
        return outcome

    return after_stops(services, once)


def _refuse(services: Services, task_id: str, job: "_Job", refusal: Refusal) -> dict[str, Any]:
    """Save the refusal as the job's outcome, in a transaction of its own, unless the job has an outcome by now."""

    def refuse(tx: Transaction) -> dict[str, Any]:
        if _take(tx, task_id, job) is not None:
            tx.inbox.settle(task_id, refused(refusal))
            return refused(refusal)
        return _known(tx, task_id, job.name, job.fingerprint)

    return services.database.transact(refuse)


def _accounts_before_the_last(services: Services, job: "_Job") -> Sequence[str]:
    """Return all accounts of a batch but the last. Each is a transaction of its own; the last one's saves the
    outcome."""
    if not isinstance(job.request, RecordInteractions):
        return ()
    with services.database.reading() as tx:
        return accounts_of(tx, job.request)[:-1]


def _do_part(services: Services, task_id: str, job: "_Job", account_id: str) -> None:
    """Record the items of one account, once, however often the message arrives."""
    request = job.request
    assert isinstance(request, RecordInteractions)

    def once(tx: Transaction) -> None:
        under_way = _take(tx, task_id, job)
        if under_way is None or account_id in (under_way.parts or {}):
            return
        result = record_of(services, tx, request, account_id)
        tx.inbox.keep_parts(task_id, {**(under_way.parts or {}), account_id: result})

    services.database.transact(once)


def _take(tx: Transaction, task_id: str, job: "_Job") -> KnownJob | None:
    """Return the job's row, to go on with it; None if it already has an outcome, or belongs to another job."""
    if tx.inbox.take(task_id, job.name, tx.now(), job.fingerprint):
        return KnownJob(name=job.name, fingerprint=job.fingerprint, outcome=None)
    first = tx.inbox.lock(task_id)
    assert first is not None  # it is kept for a month
    going_on = first.outcome is None and not first.is_another(job.name, job.fingerprint)
    return first if going_on else None


def give_up(services: Services, task_id: str, name: str, why: str) -> dict[str, Any]:
    """Save and return the outcome of a job that failed at every try, unless it has one. `why`: names the error, without
    the job's values."""

    def once(tx: Transaction) -> dict[str, Any]:
        under_way = None if tx.inbox.take(task_id, name, tx.now()) else tx.inbox.lock(task_id)
        if under_way is not None and under_way.outcome is not None:
            return _known(tx, task_id, name)
        lost = failed_at_every_try(why, in_part=under_way is not None)
        tx.inbox.settle(task_id, lost)
        return lost

    return _counted(name, services.database.transact(once))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A job as it came."""

    name: str
    request: Request | Refusal
    fingerprint: str | None

    @classmethod
    def of(cls, name: str, kwargs: Any) -> "_Job":
        try:
            request: Request | Refusal = parse(name, kwargs)
        except Refusal as refusal:
            request = refusal
        valid = None if isinstance(request, Refusal) else request
        return cls(name=name, request=request, fingerprint=fingerprint_of(valid, kwargs))


def _known(tx: Transaction, task_id: str, name: str, fingerprint: str | None = None) -> dict[str, Any]:
    """Return the outcome of the first job under this task id, or a conflict if that was another job."""
    first = tx.inbox.known(task_id)
    assert first is not None
    if not first.is_another(name, fingerprint):
        assert first.outcome is not None  # a job without an outcome is still under way
        return dict(first.outcome)
    what = f"the job {first.name}" if first.name != name else "the same job with other arguments"
    message = f"this task id was used before, for {what}: send each job under a task id of its own"
    return refused(Refusal(ErrorCode.CONFLICT, message, task_id=task_id, job=first.name))


def _counted(name: str, outcome: dict[str, Any]) -> dict[str, Any]:
    metrics.JOBS.labels(name, "ok" if outcome["ok"] else outcome["error"]["code"]).inc()
    return outcome


def failed_at_every_try(why: str, *, in_part: bool = False) -> dict[str, Any]:
    """Return the outcome of a job that failed at every try. `why`: names the error, without the job's values;
    `in_part`: some of its accounts were done."""
    done = (
        "what it says of some accounts was recorded, of the others not" if in_part else "nothing was changed"
    )
    message = f"the job failed at every try ({why}), and {done}; the worker's log says where"
    return refused(Refusal(ErrorCode.INTERNAL_ERROR, message))


def _done(services: Services, tx: Transaction, job: _Job, parts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the outcome of a job that takes effect in this transaction. Raises Refusal."""
    if isinstance(job.request, RecordInteractions):
        return succeeded(record_interactions(services, tx, job.request, parts))
    return succeeded(EFFECTS[job.name](services, tx, job.request))
