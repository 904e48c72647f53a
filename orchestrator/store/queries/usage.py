"""What an account's sessions add up to: the columns of `Standing` and `Usage`, for statements that ask more besides."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal_column, select

from orchestrator.rules.states import ACTIVE, LIVE, State
from orchestrator.rules.values import Session
from orchestrator.store.plain import table_of
from orchestrator.store.queries.debts import in_cleanup_debt
from orchestrator.store.queries.living import STARTS_OR_RUNS
from orchestrator.store.queries.queues import ELSEWHERE, came_before

_SESSIONS = table_of("sessions")
_COUNTS = table_of("session_counts")
_GROUPS = table_of("session_groups")


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What is read of an account before anything is done to it."""

    earliest_stop: datetime | None
    """The nearest deadline among its starting and running sessions."""
    has_queued_sessions: bool


def standing_of(account_id: str | ColumnElement[str]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the columns of `Standing`, each of them one entry of an index."""
    stops = select(_SESSIONS.c.stop_at).where(_SESSIONS.c.account_id == account_id, STARTS_OR_RUNS)
    first = stops.where(_SESSIONS.c.stop_at.is_not(None)).order_by(_SESSIONS.c.stop_at).limit(1)
    queues = exists().where(of_account(account_id, State.QUEUED))
    return first.scalar_subquery().label("earliest_stop"), queues.label("has_queued_sessions")


def usage_of(
    account_id: str, now: datetime, debts: Mapping[str | None, float], ahead_of: Session | None = None
) -> Select[int, int, int, int, int]:
    """Select the columns of `Usage`, in one row."""
    return usage_with(account_id, in_cleanup_debt(now, debts), ahead_of)


def usage_with(
    account_id: str | ColumnElement[str], in_debt: ColumnElement[bool], ahead_of: Session | None = None
) -> Select[int, int, int, int, int]:
    """Select the same. `in_debt`: selects the sessions that count as debt. It is worded once, since psycopg parses a
    statement of more than 4,096 characters each time that it is executed."""
    waits = and_(_is(State.QUEUED), _SESSIONS.c.queue_reason.is_distinct_from(ELSEWHERE))
    if ahead_of is not None:
        waits = and_(waits, came_before(ahead_of))
    conditions = in_debt.label("in_debt"), _is(State.STOPPING).label("stops"), waits.label("waits")
    mine = of_account(account_id, *LIVE - ACTIVE)
    one = select(_SESSIONS.c.nodes, *conditions).where(mine).subquery("one").c
    holds = and_(one.stops, ~one.in_debt)
    active, nodes = _active(account_id)
    return select(
        (_at_rest(account_id) + active + _count_where(~one.in_debt)).label("total"),
        (active + _count_where(holds)).label("concurrent"),
        (nodes + func.coalesce(func.sum(one.nodes).filter(holds), 0)).label("nodes"),
        _count_where(one.waits).label("queue_ahead"),
        _count_where(one.in_debt).label("debt"),
    )


def _at_rest(account_id: str | ColumnElement[str]) -> ColumnElement[int]:
    """Return the number of the account's sessions that wait for nothing, from the database's own count."""
    total = func.coalesce(func.sum(_COUNTS.c.n), 0)
    return select(total).where(_COUNTS.c.account_id == account_id).scalar_subquery()


def _active(account_id: str | ColumnElement[str]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the number of the account's sessions that start or run, and of their nodes, from the database's own
    count."""
    mine = _GROUPS.c.account_id == account_id
    each = (func.sum(_GROUPS.c.sessions), func.sum(_GROUPS.c.sessions * _GROUPS.c.nodes))
    sessions, nodes = (select(func.coalesce(total, 0)).where(mine).scalar_subquery() for total in each)
    return sessions, nodes


def of_account(account_id: str | ColumnElement[str], *states: State) -> ColumnElement[bool]:
    named = [_literal(state) for state in sorted(states)]
    return and_(
        _SESSIONS.c.account_id == account_id, _SESSIONS.c.state.in_(named), _SESSIONS.c.deleted_at.is_(None)
    )


def _is(state: State) -> ColumnElement[bool]:
    return _SESSIONS.c.state == _literal(state)


def _literal(state: State) -> ColumnElement[str]:
    return literal_column(f"'{state.value}'", _SESSIONS.c.state.type)


def _count_where(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count().filter(condition)
