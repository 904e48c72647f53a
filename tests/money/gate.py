"""Admission watched from outside: judge every start by the events before it, in their order."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from orchestrator.rules.values import Session
from tests.money.allowances import Budgets, lacks_budget
from tests.money.books import ZERO, begun, cost
from tests.money.history import HOLDS_A_SLOT, Event, History, Life, Rows, Run
from tests.money.terms import AccountLimits

_ELSEWHERE = "no_capacity"


def judge(history: History, event: Event, terms: Mapping[str, AccountLimits], debt_after: timedelta) -> None:
    """Judge an event of a session, before `history` notes what it changes."""
    life = history.lives[event.subject]
    mine, allowed = history.kept(life.account), terms[life.account]
    if event.kind == "session.created":
        held = [one for one in mine if not in_debt(history, one, event.time, debt_after)]
        assert allowed.sessions is None or len(held) <= allowed.sessions, (
            f"{life.id} is one of {len(held)} sessions, {allowed.sessions} are allowed"
        )
        nodes = history.rows.sessions[life.id].nodes
        assert all(limit is None or nodes <= limit for limit in (allowed.nodes, allowed.nodes_total)), (
            f"{life.id} has {nodes} nodes"
        )
    if event.kind == "session.starting" and life.state != "running":
        beside = [
            one
            for one in mine
            if one is not life and holds_a_slot(one) and not in_debt(history, one, event.time, debt_after)
        ]
        others = len(beside)
        assert allowed.concurrent is None or others < allowed.concurrent, (
            f"{life.id} starts beside {others}, {allowed.concurrent} are allowed at once"
        )
        nodes = sum(history.rows.sessions[one.id].nodes for one in [*beside, life])
        assert allowed.nodes_total is None or nodes <= allowed.nodes_total, (
            f"with {life.id} there are {nodes} nodes, {allowed.nodes_total} are allowed"
        )
        _judge_order(history, life)


def holds_a_slot(life: Life) -> bool:
    return life.state in HOLDS_A_SLOT


def happened(history: History, event: Event, debt_after: timedelta) -> list[str]:
    """Return what an event is counted as."""
    counted = [event.kind]
    if event.kind in {"session.stopped", "session.failed"}:
        counted.append(f"stopped: {event.data['stop_reason']}")
    if event.kind == "session.starting":
        mine = history.kept(history.lives[event.subject].account)
        if any(in_debt(history, one, event.time, debt_after) for one in mine):
            counted.append("admitted beside a debt")
    return counted


def in_debt(history: History, life: Life, now: datetime, debt_after: timedelta) -> bool:
    """Return whether each close that it waits for has been unproven for so long that it no longer counts against the
    user."""
    if life.state != "stopping":
        return False
    unended = [one.id for one in history.rows.placements[life.id] if one.ended_at is None]
    return bool(unended) and all(now - life.unproven.get(one, now) > debt_after for one in unended)


def _judge_order(history: History, life: Life) -> None:
    """Check that no earlier session was passed over, except those that wait for something that this one did not
    take."""
    row = history.rows.sessions[life.id]
    for other in history.kept(life.account):
        if other.state != "queued" or other is life:
            continue
        waits = history.rows.sessions[other.id]
        if waits.state != "queued" or not _came_before(waits, row):
            continue
        before = history.before.sessions.get(other.id, waits)
        reasons = {before.queue_reason, waits.queue_reason}
        assert _ELSEWHERE in reasons, f"{life.id} overtook {other.id}, which waits for {waits.queue_reason}"
        if reasons == {_ELSEWHERE}:
            assert waits.model_id != row.model_id or row.nodes != waits.nodes, (
                f"{life.id} took what {other.id} waits for"
            )


def _came_before(waits: Session, other: Session) -> bool:
    if other.queued_at is None:
        return True
    assert waits.queued_at is not None
    return (waits.queued_at, waits.id) < (other.queued_at, other.id)


def none_waits_in_vain(
    history: History, terms: Mapping[str, AccountLimits], budgets: Budgets, now: datetime, debt: timedelta
) -> None:
    """Check that the first of each queue, once all are processed, waits for no slot, nodes or funds that are there."""
    for account_id, allowed in terms.items():
        mine = history.kept(account_id)
        queue = sorted(_waiting(history.rows, mine), key=lambda row: (row.queued_at, row.id))
        first = next((row for row in queue if row.queue_reason != _ELSEWHERE), None)
        if first is None:
            continue
        held = [one for one in mine if holds_a_slot(one) and not in_debt(history, one, now, debt)]
        nodes = sum(history.rows.sessions[one.id].nodes for one in held) + first.nodes
        lacks = {
            "quota_concurrent_exceeded": allowed.concurrent is not None and len(held) >= allowed.concurrent,
            "queue_ahead": False,
            "quota_nodes_exceeded": allowed.nodes_total is not None and nodes > allowed.nodes_total,
            "insufficient_balance": _lacks_funds(history, account_id, first, allowed, now),
            "budget_exceeded": lacks_budget(
                history, account_id, budgets[account_id], cost(_newcomer(history, first, allowed), 1), now
            ),
        }
        assert first.queue_reason is not None
        assert lacks[first.queue_reason], (
            f"{first.id} waits in vain: {first.queue_reason}, but there are {lacks}, {len(held)} hold {nodes} nodes"
        )


def _lacks_funds(
    history: History, account_id: str, first: Session, allowed: AccountLimits, now: datetime
) -> bool:
    """Sum up the blocks that all who run or start, and this one, would begin in the time to be funded: one by one."""
    rows, needed = history.rows, ZERO
    newcomer = _newcomer(history, first, allowed)
    for life in history.kept(account_id):
        row = rows.sessions[life.id]
        if life.state in {"starting", "running"}:
            needed += _needed(life, row, allowed.funded_seconds, now) - row.charged
    waits = Life(id=first.id, account=account_id, state="starting")
    needed += _needed(waits, newcomer, allowed.funded_seconds, now)
    return needed > rows.accounts[account_id].balance + allowed.overdraft


def _newcomer(history: History, first: Session, allowed: AccountLimits) -> Session:
    """Return a queued session with its price and blocks if it starts now."""
    price = history.rows.prices[first.model_id]
    return replace(first, price_per_node_hour=price, block_seconds=allowed.block_seconds)


def _needed(life: Life, row: Session, seconds: int, now: datetime) -> Decimal:
    """Return its total cost if it runs from now on for this long, in whole blocks."""
    end = now + timedelta(seconds=-(-seconds // row.block_seconds) * row.block_seconds)
    runs = [replace(run, end=run.end or end) for run in life.runs]
    if life.state == "starting":
        runs.append(Run(seq=0, start=now, declared_end=None, end=end))
    return cost(row, len(list(begun(replace(life, runs=runs), row, end))))


def _waiting(rows: Rows, mine: list[Life]) -> list[Session]:
    return [rows.sessions[life.id] for life in mine if life.state == "queued"]
