"""Check rows one by one, each with its related rows. The store reads them, changed ones first."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import assert_never

from orchestrator.rules.audit.check_archive import archived_money
from orchestrator.rules.audit.invariants import (
    AccountFacts,
    AuditContext,
    Invariant,
    PlacementFacts,
    SessionFacts,
    StateEvent,
    Violation,
)
from orchestrator.rules.audit.quota_audit import quota_excesses
from orchestrator.rules.audit.wait_limits import longest_unwell
from orchestrator.rules.billing import money
from orchestrator.rules.billing.groups import Group, grouped, is_counted_as
from orchestrator.rules.billing.hard_stops import balance_limit, behind_since, first_end
from orchestrator.rules.sessions.stops import Forecast, next_stop
from orchestrator.rules.states import (
    SERVING,
    TERMINAL,
    UNENDED,
    IllegalTransition,
    PlacementState,
    State,
    StopReason,
    checked,
)
from orchestrator.rules.values import ZERO, Due, Session
from orchestrator.rules.values.amounts import money_text


def judge_session(facts: SessionFacts, now: AuditContext) -> Iterator[Violation]:
    """Yield what is wrong with one session and its placements."""
    session = facts.session
    for check, problems in (
        (Invariant.STEPS, _steps(facts)),
        (Invariant.STEPS, _plan(session, now)),
        (Invariant.LEASES, _session_lease(session, now)),
        (Invariant.TRANSITIONS, _history(facts, now)),
        (Invariant.SERVING, _serving(facts)),
        (Invariant.LEAKS, _leaks(facts)),
        (Invariant.DELETED, _deleted(session)),
        (Invariant.POSTED, _posted(facts)),
        (Invariant.COST, _cost(session, now)),
        (Invariant.PAID, _paid(session)),
        (Invariant.ALIVE, _alive(session, now)),
    ):
        yield from (Violation(check, session.id, problem) for problem in problems)
    for placement in facts.placements:
        yield from judge_placement(placement, now)


def judge_placement(placement: PlacementFacts, now: AuditContext) -> Iterator[Violation]:
    """Yield what is wrong with one placement by itself. The subject is its session, or the placement where it has
    none."""
    subject = placement.session_id or placement.id
    pending = {PlacementState.OPENING, PlacementState.UNKNOWN, PlacementState.CLOSING}
    if placement.state in pending and placement.due is None:
        yield Violation(
            Invariant.STEPS, subject, f"placement {placement.id} is {placement.state} and has no next step"
        )
    if placement.state is PlacementState.CLOSED and placement.proof is None:
        yield Violation(Invariant.PROOFS, subject, f"placement {placement.id} is closed without a proof")
    if placement.forced_at is not None and not (placement.forced_by and placement.forced_why):
        yield Violation(
            Invariant.FORCED, subject, f"placement {placement.id} was forced without a name or a reason"
        )
    for check, problems in (
        (Invariant.STEPS, _too_far(placement, placement.declared_end_at, now)),
        (Invariant.LEASES, _lease(placement, placement.lease.until if placement.lease else None, now)),
    ):
        yield from (Violation(check, subject, f"placement {placement.id}: {problem}") for problem in problems)


def judge_account(facts: AccountFacts, now: AuditContext) -> Iterator[Violation]:
    """Yield what is wrong with one account's money and quota."""
    for check, problems in (
        (Invariant.BALANCE, _balance(facts)),
        (Invariant.FUNDS, _funds(facts, now)),
        (Invariant.QUOTA, quota_excesses(facts)),
        (Invariant.COUNTS, _counts(facts)),
        (Invariant.COUNTS, _groups(facts)),
        (Invariant.ARCHIVE, archived_money(facts.archived)),
    ):
        yield from (Violation(check, facts.account.id, problem) for problem in problems)


def judge_lateness(step: str, due: datetime, lease_until: datetime | None, subject: str) -> Violation:
    """Return the violation for an overdue step: its lease expired, or it was never claimed."""
    if lease_until is None:
        return Violation(Invariant.OVERDUE, subject, f"{step} is due since {_when(due)}")
    return Violation(
        Invariant.LEASES, subject, f"{step} was not taken over: its lease ended {_when(lease_until)}"
    )


def _steps(facts: SessionFacts) -> Iterator[str]:
    session = facts.session
    if not facts.found_by_step:
        yield "the table next_steps has another step for it, or none: claims may miss it"
    match session.state:
        case State.QUEUED | State.STARTING | State.RUNNING:
            if session.due is None:
                yield f"it is {session.state} and has no next step"
        case State.STOPPING:
            if not any(placement.state in UNENDED for placement in facts.placements):
                yield "it is stopping, but all of its placements have ended"
        case State.CREATED | State.STOPPED | State.FAILED:
            if session.due is not None:
                yield f"it is {session.state} and has the step {session.due.step}"
        case unknown:
            assert_never(unknown)


def _plan(session: Session, now: AuditContext) -> Iterator[str]:
    """Compare the session's stop with its rules, if the row alone determines it. It does not during a start, as
    settings change."""
    yield from _too_far(session, None, now)
    if session.state not in {State.QUEUED, State.RUNNING}:
        return
    stop = next_stop(session, now.wait_limits(session.provider).policy)
    if (session.ends_at, session.stop_at_reason) != (stop.ends_at, stop.reason):
        yield f"it is to stop {_when(session.ends_at)}, by its rules {_when(stop.ends_at)}"
    elif session.stop_at is not None and session.stop_at > _latest(stop, session.stop_at):
        yield f"its stop is decided {_when(session.stop_at)}, later than another of its rules allows"


def _latest(stop: Forecast, at: datetime) -> datetime:
    """Return until when an idle session may wait for late reports, whatever grace it was planned with."""
    return min((rule.at for rule in stop.candidates if rule.reason is not StopReason.IDLE), default=at)


def _too_far(row: Session | PlacementFacts, end: datetime | None, now: AuditContext) -> Iterator[str]:
    """Check that its next step is not too far ahead. `end`: when an orphan that cannot be closed by its id is due."""
    longest = now.wait_limits(row.provider).waits.get(row.due.step) if row.due else None
    if longest is None or row.due is None:
        return
    if row.due.at > max(now.at + longest, end or now.at):
        yield f"its {row.due.step} waits until {_when(row.due.at)}, longer than any such step may"


def _session_lease(session: Session, now: AuditContext) -> Iterator[str]:
    """Check its lease. A success reported after the lease expired makes the take-over ping unnecessary."""
    until, alive = session.lease.until if session.lease else None, session.last_alive_at
    return _lease(session, max(until, alive) if until and alive else until, now)


def _lease(row: Session | PlacementFacts, until: datetime | None, now: AuditContext) -> Iterator[str]:
    if row.lease is None:
        return
    if row.due is None:
        yield "it has a lease but no next step"
    elif row.lease.until - now.at > now.longest_lease:
        yield f"its lease lasts until {_when(row.lease.until)}, longer than any lease may"
    elif until is not None and _is_left_behind(row.provider, row.due, until, now):
        yield f"its lease ended {_when(until)}, and it was not taken over"


def _is_left_behind(provider: str | None, due: Due, until: datetime, now: AuditContext) -> bool:
    """Return whether the take-over was due long ago and the step was postponed again. Overdue steps are checked
    elsewhere."""
    long_ago = now.at - timedelta(seconds=now.thresholds.overdue_after_seconds)
    postponed_by = now.wait_limits(provider).waits.get(due.step, timedelta(0))
    return until + postponed_by < long_ago <= due.at


def _history(facts: SessionFacts, now: AuditContext) -> Iterator[str]:
    """Check that the saved events form a chain that leads to the row's state. Older events may have been deleted."""
    session, last = facts.session, None
    for event in facts.events:
        if last is None and event.kind == "created" and event.previous is not None:
            yield f"it began as {event.previous}"
        if not _legal(event.previous, event.state):
            yield f"an event reports {event.previous} becoming {event.state}"
        elif last is not None and not _follows(last, event):
            yield f"after {last.state} an event reports {event.previous} becoming {event.state}"
        last = event
    if last is not None and last.state != session.state:
        yield f"it is {session.state}, its last event says {last.state}"
    if last is None and (now.events_since is None or session.created_at > now.events_since):
        yield "it has no event"


def _legal(previous: str | None, state: str) -> bool:
    if previous is None:
        return state in {State.CREATED, State.QUEUED, State.STARTING}
    try:
        return previous == state or bool(checked(State(previous), State(state)))
    except (ValueError, IllegalTransition):
        return False


def _follows(last: StateEvent, event: StateEvent) -> bool:
    """Return whether the event may follow. One change may cause several events; each has the state before the
    change."""
    return event.previous == last.state or (event.previous, event.state) == (last.previous, last.state)


def _serving(facts: SessionFacts) -> Iterator[str]:
    serving = [placement.id for placement in facts.placements if placement.state in SERVING]
    if len(serving) > 1:
        yield f"{len(serving)} placements serve it: {', '.join(sorted(serving)[:5])}"


def _leaks(facts: SessionFacts) -> Iterator[str]:
    state = facts.session.state
    for placement in facts.placements:
        if state in TERMINAL and placement.state in UNENDED:
            yield f"it is {state} and placement {placement.id} is {placement.state}"
        elif state is State.STOPPING and placement.state is PlacementState.OPEN:
            yield f"it is stopping and placement {placement.id} is not being closed"


def _deleted(session: Session) -> Iterator[str]:
    if session.deleted_at is not None and session.state not in TERMINAL | {State.CREATED}:
        yield f"it is deleted and {session.state}"


def _posted(facts: SessionFacts) -> Iterator[str]:
    session = facts.session
    if (session.charged, session.charges) != (facts.posted, facts.postings):
        yield (
            f"it says {money_text(session.charged)} in {session.charges} postings, "
            f"the ledger {money_text(facts.posted)} in {facts.postings}"
        )


def _cost(session: Session, now: AuditContext) -> Iterator[str]:
    if session.running_since is None:
        due = money.cost_if_stopped_at(session, session.stopped_at or now.at)
        if session.charged != due:
            yield f"it was charged {money_text(session.charged)} and costs {money_text(due)}"
        return
    lag = timedelta(hours=1, seconds=now.thresholds.charge_slack_seconds)
    most, least = money.cost_by(session, now.at), money.cost_by(session, now.at - lag)
    if session.charged > most:
        yield f"it was charged {money_text(session.charged)} and has cost {money_text(most)} so far"
    if session.charged < least:
        yield f"it was charged {money_text(session.charged)} and had cost {money_text(least)} an hour ago"


def _paid(session: Session) -> Iterator[str]:
    alive, ended = session.last_alive_at, session.stopped_at
    if session.stop_reason is not StopReason.DEAD or session.held_since is None:
        return
    if alive is not None and ended is not None and ended > alive:
        yield f"a brake held it, and it pays until {_when(ended)}, its last proof of life is of {_when(alive)}"


def _alive(session: Session, now: AuditContext) -> Iterator[str]:
    since = session.not_well_since
    if session.state is not State.RUNNING or since is None:
        return
    longest = longest_unwell(now.wait_limits(session.provider).policy)
    if now.at > since + longest + timedelta(seconds=now.thresholds.overdue_after_seconds):
        yield f"it runs, and has given no proof of life since {_when(since)}"


def _balance(facts: AccountFacts) -> Iterator[str]:
    account = facts.account
    if account.balance != facts.posted:
        yield f"its balance is {money_text(account.balance)}, its ledger adds up to {money_text(facts.posted)}"
    allowed = max(facts.plan.overdraft_limit, account.charged_under or ZERO)
    if account.balance < -allowed:
        yield f"its balance is {money_text(account.balance)}, its overdraft {money_text(allowed)}"


def _funds(facts: AccountFacts, now: AuditContext) -> Iterator[str]:
    if facts.active is None:
        return
    account = facts.account
    if behind_since(account.budgets, now.at) is not None:
        return  # the end is computed again as the period of that budget begins
    since = min(now.at, account.funds_end_at or now.at)
    running = [session for session in facts.active if session.state is State.RUNNING]
    balance = balance_limit(account, facts.plan.overdraft_limit)
    end = first_end((*facts.hard_stops, balance), running, since)
    expected = end.at if end else None
    if account.funds_end_at is not None and account.funds_session_id is None:  # they last a bit longer
        if expected is None or expected < account.funds_end_at:
            yield f"its funds last until {_when(account.funds_end_at)}, by the formula {_when(expected)}"
    elif account.funds_end_at != expected:
        yield f"its funds end {_when(account.funds_end_at)}, by the formula {_when(expected)}"


def _counts(facts: AccountFacts) -> Iterator[str]:
    counted, there = (facts.at_rest.counted, facts.at_rest.there) if facts.at_rest else ({}, {})
    for what in sorted(counted.keys() | there.keys()):
        if counted.get(what, 0) != there.get(what, 0):
            yield f"sessions that are {what}: {there.get(what, 0)}, counted: {counted.get(what, 0)}"


def _groups(facts: AccountFacts) -> Iterator[str]:
    if facts.active is None or facts.groups is None:
        return
    counted = {group.key: group for group in facts.groups}
    there = {group.key: group for group in grouped(facts.active)}
    for key in sorted(counted.keys() | there.keys()):
        as_counted, as_found = counted.get(key), there.get(key)
        if not is_counted_as(as_counted, as_found):
            phase, price, nodes, block = key
            what = f"{phase} at {money_text(price)} on {nodes} nodes by {block} s"
            yield f"of its sessions {what} there are {_sums(as_found)}, counted were {_sums(as_counted)}"


def _sums(group: Group | None) -> str:
    return "none" if group is None else f"{group.sessions} ({money_text(group.charged)} charged)"


def _when(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"
