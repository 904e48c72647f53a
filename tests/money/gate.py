"""Admission watched from outside: every start is judged by what the events told up to it, in their order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.rules.values import Session
from tests.money.history import HOLDS_A_SLOT, History, Life, Rows, Told

_ELSEWHERE = "no_capacity"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an account may have; None: as much as it likes."""

    sessions: int | None
    concurrent: int | None
    nodes: int | None


def judge(history: History, told: Told, limits: Mapping[str, Limits], debt_after: timedelta) -> None:
    """Called for each event of a session, before `history` notes what it changes."""
    life = history.lives[told.subject]
    mine, allowed = history.kept(life.account), limits[life.account]
    if told.kind == "session.created":
        held = [one for one in mine if not in_debt(history, one, told.time, debt_after)]
        assert allowed.sessions is None or len(held) <= allowed.sessions, (
            f"{life.id} is one of {len(held)} sessions, {allowed.sessions} are allowed"
        )
        nodes = history.rows.sessions[life.id].nodes
        assert allowed.nodes is None or nodes <= allowed.nodes, f"{life.id} has {nodes} nodes"
    if told.kind == "session.starting" and life.state != "running":
        slots = [
            one for one in mine if holds_a_slot(one) and not in_debt(history, one, told.time, debt_after)
        ]
        others = len([one for one in slots if one is not life])
        assert allowed.concurrent is None or others < allowed.concurrent, (
            f"{life.id} starts beside {others}, {allowed.concurrent} are allowed at once"
        )
        _judge_order(history, life)


def holds_a_slot(life: Life) -> bool:
    return life.state in HOLDS_A_SLOT


def in_debt(history: History, life: Life, now: datetime, debt_after: timedelta) -> bool:
    """Its close stays unproven for so long that it is no longer the user's."""
    if life.state != "stopping":
        return False
    unended = {one.id for one in history.rows.placements[life.id] if one.ended_at is None}
    return any(now - since > debt_after for one, since in life.unproven.items() if one in unended)


def _judge_order(history: History, life: Life) -> None:
    """Nobody who came before it was passed over, but those who wait for what this one did not take."""
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


def nobody_waits_in_vain(
    history: History, limits: Mapping[str, Limits], now: datetime, debt: timedelta
) -> None:
    """After everybody has looked, the first of a queue does not wait for a slot that is free."""
    for account_id, allowed in limits.items():
        mine = history.kept(account_id)
        queue = sorted((row for row in _waiting(history.rows, mine)), key=lambda row: (row.queued_at, row.id))
        first = next((row for row in queue if row.queue_reason != _ELSEWHERE), None)
        if first is None or allowed.concurrent is None:
            continue
        held = len([one for one in mine if holds_a_slot(one) and not in_debt(history, one, now, debt)])
        waits_for_a_slot = first.queue_reason == "quota_concurrent_exceeded"
        assert not waits_for_a_slot or held >= allowed.concurrent, (
            f"{first.id} waits for a slot, {held} of {allowed.concurrent} are held"
        )


def _waiting(rows: Rows, mine: list[Life]) -> list[Session]:
    return [rows.sessions[life.id] for life in mine if life.state == "queued"]
