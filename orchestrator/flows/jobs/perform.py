"""One job of another service: effect, events and inbox row with the outcome in one transaction. No job calls a
provider.

The inbox row comes last. If the message has come before, its task id is there already: everything is undone, and the
first outcome is returned. A refusal undoes that transaction too; a second one saves it as the outcome. A job that only
reads writes nothing, and is answered with what is true at that time."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.client.outcomes import plain, refused, succeeded
from orchestrator.client.parsing import fingerprint as fingerprint_of
from orchestrator.client.parsing import parse
from orchestrator.client.requests import RecordInteractions, Request
from orchestrator.flows.engine.crowd import AccountBusy
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.budget_account import budget_account
from orchestrator.flows.jobs.close_session import close_session
from orchestrator.flows.jobs.create_session import create_session
from orchestrator.flows.jobs.credit_account import credit_account
from orchestrator.flows.jobs.debit_account import debit_account
from orchestrator.flows.jobs.delete_session import delete_session
from orchestrator.flows.jobs.extend_session import extend_session
from orchestrator.flows.jobs.ping_session import ping_session
from orchestrator.flows.jobs.put_account import put_account
from orchestrator.flows.jobs.put_model import put_model
from orchestrator.flows.jobs.reads import READS
from orchestrator.flows.jobs.record_interactions import (
    accounts_of,
    outcome_of,
    record_interactions,
    record_of,
    record_together,
)
from orchestrator.flows.jobs.start_session import start_session
from orchestrator.flows.lifecycle.due_stops import run_after_stops
from orchestrator.observability import metrics, tracing
from orchestrator.rules.events import by_job, changed
from orchestrator.rules.installation.messages import task_id_fault
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import TERMINAL
from orchestrator.store.core.gathering import AlreadyThere
from orchestrator.store.queries.inbox import KnownJob, ListedJob
from orchestrator.store.transaction import Precondition, Transaction

Effect = Callable[[Services, Transaction, Any], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Performed:
    """A job's outcome."""

    outcome: dict[str, Any]
    replayed: bool = False
    """Whether this is the outcome of an earlier request under the same task id."""
    reused: bool = False
    """Whether the task id belongs to another job, or to the same one with other arguments."""


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
    "orchestrator.account.budget": budget_account,
    "orchestrator.model.put": put_model,
}
_ENDED = frozenset(state.value for state in TERMINAL)
#: Jobs that a session's history shows, and their arguments that say how it was changed.
_SHOWN: Mapping[str, set[str]] = {
    "orchestrator.session.create": set(),
    "orchestrator.session.start": set(),
    "orchestrator.session.close": {"reason", "detail", "confirm", "force"},
    "orchestrator.session.extend": {"max_duration_seconds", "max_interactions", "max_cost"},
    "orchestrator.session.ping": set(),
    "orchestrator.session.delete": set(),
}


def perform(
    services: Services, task_id: str, name: str, kwargs: Any, *, author: str | None = None
) -> dict[str, Any]:
    """Perform the job and return its outcome. A message that arrives again gets the first outcome. A caller's mistake
    is an outcome, never an exception. `author`: who sent it, for the session's history.

    Raises AccountBusy if too many threads wait for its account: retry later."""
    return perform_once(services, task_id, name, kwargs, author=author).outcome


def perform_once(
    services: Services,
    task_id: str,
    name: str,
    kwargs: Any,
    *,
    author: str | None = None,
    precondition: Precondition | None = None,
) -> Performed:
    """Perform the job as `perform` does, and say whether its outcome is an earlier one. `author`: who sent it.

    Raises AccountBusy."""
    fault = task_id_fault(task_id)
    if fault is not None:  # no row can be kept under it
        return Performed(outcome=refused(Refusal(ErrorCode.INVALID_REQUEST, fault)))
    job, began = _Job.of(name, kwargs, author, precondition), tracing.now()
    if name in READS:
        return _counted(name, _read(services, task_id, job))
    try:
        performed = _counted(name, _outcome(services, task_id, job))
    except AccountBusy as busy:
        with services.crowd.turn(busy.account_id):
            performed = _counted(name, _outcome(services, task_id, job))
    if not performed.replayed:
        tracing.job(name, task_id, performed.outcome, began)
    return performed


def _read(services: Services, task_id: str, job: "_Job") -> Performed:
    """Return what the job reads. A task id under which another job was carried out belongs to that job."""
    try:
        with services.database.reading() as tx:
            if tx.inbox.known(task_id) is not None:
                return _known(tx, task_id, job.name, job.fingerprint)
            if isinstance(job.request, Refusal):
                raise job.request
            return Performed(outcome=succeeded(READS[job.name](services, tx, job.request)))
    except Refusal as refusal:
        return Performed(outcome=refused(refusal))


def _outcome(services: Services, task_id: str, job: "_Job") -> Performed:
    if isinstance(job.request, Refusal):
        return _refuse(services, task_id, job, job.request)
    try:
        return _perform(services, task_id, job)
    except Refusal as refusal:  # its transaction was undone
        return _refuse(services, task_id, job, refusal)


def _perform(services: Services, task_id: str, job: "_Job") -> Performed:
    if job.precondition is None and not isinstance(job.request, RecordInteractions):
        with suppress(AlreadyThere):  # then everything was undone: the message has come before
            return run_after_stops(services, partial(_perform_new, services, task_id, job))
    if isinstance(job.request, RecordInteractions):
        performed = _record_together(services, task_id, job, job.request)
        if performed is not None:
            return performed
    for account_id in _accounts_before_the_last(services, job):
        _do_part(services, task_id, job, account_id)

    def once(tx: Transaction) -> Performed:
        under_way = _take(tx, task_id, job)
        if under_way is None:
            return _known(tx, task_id, job.name, job.fingerprint)
        if job.precondition is not None and not under_way.parts:
            job.precondition(tx)
        outcome = _done(services, tx, job, under_way.parts)
        tx.inbox.settle(task_id, outcome)
        return Performed(outcome=outcome)

    return run_after_stops(services, once)


def _perform_new(services: Services, task_id: str, job: "_Job", tx: Transaction) -> Performed:
    """Perform a job that has not come before, and record it last, with its outcome. Raises AlreadyThere if it has, and
    Refusal."""
    received_at = tx.arrived()
    tx.gather()
    outcome = _done(services, tx, job, None)
    new = ListedJob(
        task_id=task_id, name=job.name, received_at=received_at, author=job.author, outcome=outcome
    )
    tx.inbox.record(new, job.fingerprint)
    return Performed(outcome=outcome)


def _record_together(
    services: Services, task_id: str, job: "_Job", request: RecordInteractions
) -> Performed | None:
    """Record what can be recorded in one transaction. Return the outcome if that is all; None if accounts are left."""

    def together(tx: Transaction) -> Performed | None:
        under_way = _take(tx, task_id, job)
        if under_way is None:
            return _known(tx, task_id, job.name, job.fingerprint)
        if job.precondition is not None and not under_way.parts:
            job.precondition(tx)
        done = dict(under_way.parts or {})
        account_of = accounts_of(tx, request)
        done |= record_together(services, tx, request, account_of, done)
        if not done.keys() >= {*account_of.values()}:
            tx.inbox.keep_parts(task_id, done)
            return None
        outcome = succeeded(outcome_of(tx, request, account_of, done))
        tx.inbox.settle(task_id, outcome)
        return Performed(outcome=outcome)

    return services.database.transact(together)


def _refuse(services: Services, task_id: str, job: "_Job", refusal: Refusal) -> Performed:
    """Save the refusal as the job's outcome, in a transaction of its own, unless the job has an outcome by now."""

    def refuse(tx: Transaction) -> Performed:
        if _take(tx, task_id, job) is not None:
            tx.inbox.settle(task_id, refused(refusal))
            return Performed(outcome=refused(refusal))
        return _known(tx, task_id, job.name, job.fingerprint)

    return services.database.transact(refuse)


def _accounts_before_the_last(services: Services, job: "_Job") -> Sequence[str]:
    """Return all accounts of a batch but the last. Each is a transaction of its own; the last one's saves the
    outcome."""
    if not isinstance(job.request, RecordInteractions):
        return ()
    with services.database.reading() as tx:
        return sorted({*accounts_of(tx, job.request).values()})[:-1]


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
    """Return the job's row, to continue with it; None if it already has an outcome, or belongs to another job."""
    if tx.inbox.take(task_id, job.name, tx.arrived(), job.fingerprint, job.author):
        return KnownJob(name=job.name, fingerprint=job.fingerprint, outcome=None)
    first = tx.inbox.lock(task_id)
    assert first is not None  # it is kept for a month
    going_on = first.outcome is None and not first.is_another(job.name, job.fingerprint)
    return first if going_on else None


def give_up(services: Services, task_id: str, name: str, why: str) -> dict[str, Any]:
    """Save and return the outcome of a job that failed at every try, unless it has one. `why`: names the error, without
    the job's values."""
    if name in READS:
        return _counted(name, Performed(outcome=failed_at_every_try(why))).outcome

    def once(tx: Transaction) -> Performed:
        under_way = None if tx.inbox.take(task_id, name, tx.now()) else tx.inbox.lock(task_id)
        if under_way is not None and under_way.outcome is not None:
            return _known(tx, task_id, name)
        lost = failed_at_every_try(why, in_part=under_way is not None)
        tx.inbox.settle(task_id, lost)
        return Performed(outcome=lost)

    return _counted(name, services.database.transact(once)).outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    """A job as it came."""

    name: str
    request: Request | Refusal
    fingerprint: str | None
    author: str | None
    precondition: Precondition | None

    @classmethod
    def of(
        cls, name: str, kwargs: Any, author: str | None = None, precondition: Precondition | None = None
    ) -> "_Job":
        try:
            request: Request | Refusal = parse(name, kwargs)
        except Refusal as refusal:
            request = refusal
        valid = None if isinstance(request, Refusal) else request
        fingerprint = fingerprint_of(valid, kwargs)
        return cls(
            name=name, request=request, fingerprint=fingerprint, author=author, precondition=precondition
        )


def _known(tx: Transaction, task_id: str, name: str, fingerprint: str | None = None) -> Performed:
    """Return the outcome of the first job under this task id, or a conflict if that was another job."""
    first = tx.inbox.known(task_id)
    assert first is not None
    if not first.is_another(name, fingerprint):
        assert first.outcome is not None  # a job without an outcome is still under way
        return Performed(outcome=dict(first.outcome), replayed=True)
    what = f"the job {first.name}" if first.name != name else "the same job with other arguments"
    message = f"this task id was used before, for {what}: send each job under a task id of its own"
    refusal = Refusal(ErrorCode.CONFLICT, message, task_id=task_id, job=first.name)
    return Performed(outcome=refused(refusal), reused=True)


def _counted(name: str, performed: Performed) -> Performed:
    outcome = performed.outcome
    metrics.JOBS.labels(name, "ok" if outcome["ok"] else outcome["error"]["code"]).inc()
    return performed


def failed_at_every_try(why: str, *, in_part: bool = False) -> dict[str, Any]:
    """Return the outcome of a job that failed at every try. `why`: names the error, without the job's values;
    `in_part`: some of its accounts were done."""
    done = (
        "the interactions of some accounts were recorded, those of others were not"
        if in_part
        else "nothing was changed"
    )
    message = f"the job failed at every try ({why}), and {done}; the worker's log says where"
    return refused(Refusal(ErrorCode.INTERNAL_ERROR, message))


def _done(services: Services, tx: Transaction, job: _Job, parts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the outcome of a job that takes effect in this transaction. Raises Refusal."""
    if isinstance(job.request, RecordInteractions):
        return succeeded(record_interactions(services, tx, job.request, parts))
    result = EFFECTS[job.name](services, tx, job.request)
    if job.author is not None and job.name in _SHOWN:
        _show_author(tx, job, job.request, result)
    return succeeded(result)


def _show_author(tx: Transaction, job: _Job, request: Request | Refusal, result: Mapping[str, Any]) -> None:
    """Put into the session's history who changed it. An orphan has none, and a session that had ended stays as it
    was."""
    unchanged = result.get("account_id") is None or result.get("found_state") in _ENDED
    if unchanged or isinstance(request, Refusal):
        return
    named = plain(request.model_dump(exclude_defaults=True, include=_SHOWN[job.name]))
    signed = partial(by_job, job=job.name, author=str(job.author), arguments=named)
    if not tx.outbox.alter_first(result["id"], signed):
        tx.outbox.add([signed(changed(result["id"], result["account_id"]))])
