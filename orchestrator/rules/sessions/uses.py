"""The effects of reported interactions on a session: what they count, what they prove, and which steps they move.

Each rule takes a whole session, or only the fields of it that they need."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.rules.sessions.decide import next_step, plan_steps
from orchestrator.rules.sessions.pings import is_well, note_begun, note_ended, without_busy
from orchestrator.rules.sessions.stops import interactions_limit, proves_use
from orchestrator.rules.states import State
from orchestrator.rules.values import AnySession, Policy, Usable
from orchestrator.rules.values.copies import replace

#: States in which use is activity.
_SERVES = frozenset({State.STARTING, State.RUNNING})
#: States of sessions of which no use can be reported.
NEVER_SERVED = frozenset({State.CREATED, State.QUEUED, State.FAILED})


@dataclass(frozen=True, slots=True)
class Use:
    """Interactions of one session that are alike, as one report of them."""

    count: int
    ok: bool
    began: datetime | None
    """None: not reported."""
    ended: datetime | None
    """None: they are under way if `began` is reported, and else end now."""

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not ended yet."""
        return self.began is not None and self.ended is None


def note_use(session: AnySession, use: Use, policy: Policy, now: datetime) -> AnySession:
    """Return the session with its use recorded; `plan_after_use` then plans its steps. An interaction under way counts
    as use now, and as an interaction once it has ended."""
    if use.began is not None and use.is_under_way:
        return _note_under_way(session, min(use.began, now), policy, now)
    ended = session if use.began is None else note_ended(session, use.began)
    if session.state not in _SERVES:
        return replace(ended, interactions=session.interactions + use.count)
    proves = proves_use(session, policy, min(use.began or use.ended or now, now))
    return _counted(ended, use, policy, now, proves=proves)


def plan_after_use(before: AnySession, after: AnySession, policy: Policy, now: datetime) -> AnySession:
    """Return the session with its steps as `plan_steps` plans them. The stop and the warning are planned again only
    where use can have moved them; `before` is the session as it was planned last."""
    if after.state not in _SERVES:
        return after
    if _may_move_its_stop(before, after) or _is_overdue(after, now):
        return plan_steps(after, policy, now, ping_at=after.ping_at)
    due = next_step(after.state, after.stop_at, after.warn_at, after.ping_at, now)
    return after if due == after.due else replace(after, due=due)


def note_success(session: AnySession, at: datetime) -> AnySession:
    """Note a reported success at `at`: it is a proof of life, and ends every doubt that began by then."""
    streak = _unless_outlived(session.failing_since, at)
    busy = _unless_outlived(session.busy_since, at)
    return replace(
        session if busy else without_busy(session),
        last_alive_at=max(at, session.last_alive_at or at),
        failures=session.failures if streak else 0,
        failing_since=streak,
        gone_since=_unless_outlived(session.gone_since, at),
        loading_since=_unless_outlived(session.loading_since, at),
        unusable_since=_unless_outlived(session.unusable_since, at),
        not_well_since=_unless_outlived(session.not_well_since, at),
        held_since=_unless_outlived(session.held_since, at),
    )


def ping_not_needed_until(session: Usable, alive_at: datetime, policy: Policy) -> datetime | None:
    """Return until when a proof of life at `alive_at` makes a ping unnecessary; None if a ping is needed."""
    if session.state is not State.RUNNING or not is_well(session):
        return None
    return alive_at + timedelta(seconds=policy.ping_interval_seconds)


def _note_under_way(session: AnySession, began: datetime, policy: Policy, now: datetime) -> AnySession:
    if session.state is not State.RUNNING or not proves_use(session, policy, began):
        return session
    used = replace(session, last_interaction_at=max(began, session.last_interaction_at or began))
    noted = note_begun(used, began, policy, now)
    return session if noted == session else noted


def _counted(session: AnySession, use: Use, policy: Policy, now: datetime, *, proves: bool) -> AnySession:
    """Return the session with the interactions counted. Every one counts; one that proves use is activity; only a
    success is a proof of life, and makes the next ping unnecessary."""
    at, total = min(use.ended or now, now), session.interactions + use.count
    last, alive, ping_at = session.last_interaction_at, session.last_alive_at, session.ping_at
    if use.ok and _is_of_this_run(session, at):
        session = _without_doubts_by(session, at)
        alive = max(at, alive or at)
        spared = ping_not_needed_until(session, alive, policy)
        ping_at = spared if spared and ping_at and ping_at < spared else ping_at
    return replace(
        session,
        interactions=total,
        last_interaction_at=max(at, last or at) if proves else last,
        limit_reached_at=now if _reaches_a_limit(session, total) else session.limit_reached_at,
        last_alive_at=alive,
        ping_at=ping_at,
    )


def _reaches_a_limit(session: Usable, total: int) -> bool:
    limit = interactions_limit(session)
    return limit is not None and session.interactions < limit[0] <= total


def _is_of_this_run(session: Usable, at: datetime) -> bool:
    """Return whether a success at `at` proves that the placement serving now lives."""
    since = session.running_since
    return session.state is State.RUNNING and since is not None and since <= at


def _without_doubts_by(session: AnySession, at: datetime) -> AnySession:
    """Return the session without the doubts that a success at `at` ends."""
    if is_well(session) and session.busy_warned_at is None:
        return session
    return note_success(session, at)


def _may_move_its_stop(before: Usable, after: Usable) -> bool:
    """Return whether use can have moved the stop: by idle time that begins again, or by a limit of interactions."""
    if after.stop_at is None or after.limit_reached_at is not None:
        return True
    return after.idle_seconds is not None and (
        before.last_interaction_at != after.last_interaction_at or before.under_way != after.under_way
    )


def _is_overdue(session: Usable, now: datetime) -> bool:
    """Return whether the stop or the warning is due: then the plan depends on how late it is."""
    return any(at is not None and at <= now for at in (session.stop_at, session.warn_at))


def _unless_outlived(doubt_since: datetime | None, at: datetime) -> datetime | None:
    return None if doubt_since is None or doubt_since <= at else doubt_since
