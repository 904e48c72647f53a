"""What stands against a provider, a key or a model there, told of once and shown until it is well again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.rules.values import Verdict

#: A model that a key may not use is tried there again after this, doubled each time it is refused again.
RETRY_FIRST, RETRY_LAST = timedelta(minutes=1), timedelta(hours=1)
#: An alarm of which nothing was seen for so long is forgotten: nobody uses that any more.
FORGOTTEN_AFTER = timedelta(days=1)
#: It is over once it was not seen for so many ping intervals, and somebody there answers well.
QUIET_INTERVALS = 2


class AlarmKind(StrEnum):
    """Named like its event."""

    MODEL_PAUSED = "credential_paused_for_model"
    """The key is good, but not for this model: no new placement of that model under it."""
    OUT_OF_BALANCE = "out_of_balance"
    """The platform's own account behind this key is empty."""
    MISCONFIGURED = "misconfigured"
    """What is sent there for this model cannot work as it is configured; without a model: the provider's own
    configuration is wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """One thing that an operator must look at."""

    scope: str
    kind: AlarmKind
    provider: str
    credential: str | None
    """By reference; None: there is none, or it is a session's own."""
    model_id: str | None
    """None: it concerns every model there."""
    since: datetime
    seen_at: datetime
    """The last answer that says so."""
    reason: str
    refusals: int = 1
    retry_at: datetime | None = None
    """Until then no new placement of the model; None: it may be tried."""


def alarm(
    kind: AlarmKind, provider: str, credential: str | None, model_id: str | None, reason: str, now: datetime
) -> Alarm:
    """Raised now; an empty account concerns every model of its key."""
    model = None if kind is AlarmKind.OUT_OF_BALANCE else model_id
    return Alarm(
        scope=":".join((kind, provider, credential or "", model or "")),
        kind=kind,
        provider=provider,
        credential=credential,
        model_id=model,
        since=now,
        seen_at=now,
        reason=reason,
        retry_at=retry_at(kind, 1, now),
    )


def retry_at(kind: AlarmKind, refusals: int, now: datetime) -> datetime | None:
    """When a refused model may be tried again; None for alarms that stop nobody."""
    if kind is not AlarmKind.MODEL_PAUSED:
        return None
    return now + min(RETRY_FIRST * (1 << min(refusals - 1, 10)), RETRY_LAST)


def kind_of(verdict: Verdict) -> AlarmKind | None:
    """The alarm that a ping's verdict raises by itself."""
    match verdict:
        case Verdict.OUT_OF_BALANCE:
            return AlarmKind.OUT_OF_BALANCE
        case Verdict.MISCONFIGURED:
            return AlarmKind.MISCONFIGURED
        case _:
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthyPing:
    """A good ping: of this model, at this provider, under this key."""

    provider: str
    credential: str | None
    model_id: str
    interval: timedelta
    """Between pings there."""


def ends_with(standing: Alarm, well: HealthyPing, now: datetime) -> bool:
    """Does a good ping end the alarm? Not while others there still see it: it would be raised anew at each ping.
    What is wrong with a provider's own configuration no ping contradicts."""
    if standing.kind is AlarmKind.MISCONFIGURED and standing.model_id is None:
        return False
    there = (standing.provider, standing.credential) == (well.provider, well.credential)
    about_it = there and standing.model_id in (None, well.model_id)
    return about_it and now - standing.seen_at > QUIET_INTERVALS * well.interval
