"""What two rulebooks do to each session: which is stopped earlier, or later, and what it was used for before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.rules.billing.money import FundsEnd
from orchestrator.rules.sessions.stops import next_stop
from orchestrator.rules.states import StopReason
from orchestrator.rules.trial.history import SessionPast, Traffic, traffic_before
from orchestrator.rules.trial.replay import TrialEnd, dead_ahead, dead_within
from orchestrator.rules.trial.rulebook import Rulebook, before_its_stop, begun_under, is_open
from orchestrator.rules.values import Policy, Session

#: What else happens to a session that is found dead.
IT_MOVES = "it has failover: it moves to its next placement where one is possible"


class TrialEffect(StrEnum):
    """What the change does to a session."""

    STOPS = "stops"
    """It ends earlier."""
    SPARES = "spares"
    """It ends later, or continues."""
    REFUSES = "refuses"
    """It is not admitted."""


class TrialTime(StrEnum):
    """When the change has this effect."""

    DEPLOYED = "deployed"
    """With the deploy: the session lives."""
    HINDSIGHT = "hindsight"
    """It would have had it, if it had applied all along: sessions keep the terms of their beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialFinding:
    """One session, and what the change does to it."""

    session: Session
    effect: TrialEffect
    time: TrialTime
    at: datetime | None
    """When it ends under the changed terms, or was refused; None: it continues."""
    reason: str | None
    detail: str
    condition: str | None = None
    otherwise: TrialEnd | None = None
    """How it ends, or ended, as things are."""
    traffic: Traffic


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialFunds:
    """Session id → the end of its account's funds: as things are, after the deploy, and with the terms all along."""

    now: Mapping[str, FundsEnd] = field(default_factory=dict)
    deployed: Mapping[str, FundsEnd] = field(default_factory=dict)
    hindsight: Mapping[str, FundsEnd] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _TermsOfOne:
    """The terms of one session."""

    session: Session
    policy: Policy
    funds_end: FundsEnd | None = None


def compare(
    past: SessionPast, current: Rulebook, changed: Rulebook, funds: TrialFunds, now: datetime
) -> TrialFinding | None:
    """Return what the change does to the session; None if nothing."""
    session = past.session
    old, new = (book.policy_for(session.provider) for book in (current, changed))
    as_is = _TermsOfOne(session, old, funds.now.get(session.id))
    after = _TermsOfOne(session, new, funds.deployed.get(session.id))
    if is_open(session) and after != as_is:
        found = _found(past, TrialTime.DEPLOYED, _coming(as_is, now), _coming(after, now), now)
        if found is not None:
            return found
    plan, other_plan = (book.terms_of(past.account).plan for book in (current, changed))
    begun = begun_under(session, plan, other_plan, changed.prices.get(session.model_id))
    if begun is session and old == new:
        return None
    all_along = _TermsOfOne(begun, new, funds.hindsight.get(session.id))
    return _in_hindsight(past, as_is, all_along, now)


def _in_hindsight(
    past: SessionPast, as_is: _TermsOfOne, all_along: _TermsOfOne, now: datetime
) -> TrialFinding | None:
    ends = (_all_along(past, terms, as_is.policy, now) for terms in (as_is, all_along))
    expected, other = (_first(one) for one in ends)
    actual = _actual(past.session, expected)
    if actual is None:
        return None
    if other is not None and other.at < actual.at:
        earlier = expected is None or other.at < expected.at
        return _found(past, TrialTime.HINDSIGHT, actual, other, now) if earlier else None
    by_a_rule = expected is not None and expected.reason is actual.reason and expected.at <= actual.at
    return _found(past, TrialTime.HINDSIGHT, actual, other, now) if by_a_rule else None


def _actual(session: Session, expected: TrialEnd | None) -> TrialEnd | None:
    """Return how the session ended; how it will, if it lives."""
    if is_open(session):
        return expected
    if session.stopped_at is None or session.stop_reason is None:
        return None
    return TrialEnd(session.stopped_at, session.stop_reason, session.stop_detail or "")


def _coming(terms: _TermsOfOne, now: datetime) -> TrialEnd | None:
    """Return the coming end of a session that lives."""
    ahead = dead_ahead(terms.session, terms.policy, now)
    return _first([*_foreseen(terms), *([ahead] if ahead else [])])


def _all_along(past: SessionPast, terms: _TermsOfOne, policy: Policy, now: datetime) -> Sequence[TrialEnd]:
    """Return every end of the session under these terms. `policy`: the one that it had."""
    session = terms.session
    found = list(_started_too_late(terms))
    for doubt in past.doubts:
        if (
            doubt.killed or dead_within(doubt, session, policy) is None
        ):  # else the play does not fit what happened
            dead = dead_within(doubt, session, terms.policy)
            found += [dead] if dead else []
    if is_open(session):
        ahead = dead_ahead(session, terms.policy, now)
        return [*found, *_foreseen(terms), *([ahead] if ahead else [])]
    before = before_its_stop(session)
    return [*found, *(_foreseen(_TermsOfOne(before, terms.policy)) if before else [])]


def _foreseen(terms: _TermsOfOne) -> Iterator[TrialEnd]:
    """Yield the end that the stop rules foresee."""
    forecast = next_stop(terms.session, terms.policy, terms.funds_end)
    if forecast.ends_at is not None and forecast.reason is not None:
        yield TrialEnd(forecast.ends_at, forecast.reason, forecast.detail or "")


def _started_too_late(terms: _TermsOfOne) -> Iterator[TrialEnd]:
    """Yield the end of a start that took longer than the policy allows."""
    began, ran = terms.session.starting_at, terms.session.running_at
    allowed = timedelta(seconds=terms.policy.start_timeout_seconds)
    if began is not None and ran is not None and began + allowed < ran:
        detail = f"no good ping within {terms.policy.start_timeout_seconds:g} s of starting"
        yield TrialEnd(began + allowed, StopReason.START_TIMEOUT, detail)


def _first(ends: Sequence[TrialEnd]) -> TrialEnd | None:
    return min(ends, key=lambda end: end.at, default=None)


def _found(
    past: SessionPast, time: TrialTime, actual: TrialEnd | None, other: TrialEnd | None, now: datetime
) -> TrialFinding | None:
    if actual is None or (other is not None and other.at == actual.at):
        return None
    stops = other is not None and other.at < actual.at
    moves = stops and other is not None and other.reason is StopReason.DEAD and past.session.failover
    conditions = [other.condition if other else None, IT_MOVES if moves else None]
    return TrialFinding(
        session=past.session,
        effect=TrialEffect.STOPS if stops else TrialEffect.SPARES,
        time=time,
        at=other.at if other else None,
        reason=other.reason.value if other else None,
        detail=other.detail if other else "it continues",
        condition="; ".join(one for one in conditions if one) or None,
        otherwise=actual,
        traffic=traffic_before(past, other.at if stops and other else actual.at, now),
    )
