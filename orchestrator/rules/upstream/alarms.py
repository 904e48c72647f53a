"""Alarms about a provider, a credential or a model there: announced once, and shown until they end."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.rules.backoff import backoff
from orchestrator.rules.values import Verdict

#: A model that a key may not use is retried under it after this; the time doubles at each further refusal.
FIRST_MODEL_PAUSE, LONGEST_MODEL_PAUSE = 60.0, 3600.0
#: An alarm that was not seen for this long is deleted: its subject is no longer used.
FORGOTTEN_AFTER = timedelta(days=1)
#: An alarm ends when it was not seen for this many ping intervals and a session there passed a ping.
QUIET_INTERVALS = 2


class AlarmKind(StrEnum):
    """The kinds of alarms, each named like its event."""

    MODEL_PAUSED = "credential_paused_for_model"
    """The key is good, but not for this model: no new placement of that model under it."""
    OUT_OF_BALANCE = "out_of_balance"
    """The platform's own account behind this key is empty."""
    MISCONFIGURED = "misconfigured"
    """The configuration of this model there cannot work; without a model: the provider's own configuration is wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """One fault that an operator must look at."""

    scope: str
    kind: AlarmKind
    provider: str
    credential: str | None
    """The reference of the credential; None: there is none, or it is a session's own."""
    model_id: str | None
    """None: it concerns every model there."""
    since: datetime
    seen_at: datetime
    """When an answer last showed the fault."""
    reason: str
    refusals: int = 1
    retry_at: datetime | None = None
    """No new placement of the model until then; None: it may be tried."""


def alarm(
    kind: AlarmKind, provider: str, credential: str | None, model_id: str | None, reason: str, now: datetime
) -> Alarm:
    """Return an alarm that is opened now. An empty account concerns every model of its key."""
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
    """Return when a refused model may be tried again; None for alarms that block no placement."""
    if kind is not AlarmKind.MODEL_PAUSED:
        return None
    return now + timedelta(seconds=backoff(FIRST_MODEL_PAUSE, refusals - 1, LONGEST_MODEL_PAUSE))


def kind_of(verdict: Verdict) -> AlarmKind | None:
    """Return the alarm that a ping's verdict opens."""
    match verdict:
        case Verdict.OUT_OF_BALANCE:
            return AlarmKind.OUT_OF_BALANCE
        case Verdict.MISCONFIGURED:
            return AlarmKind.MISCONFIGURED
        case _:
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthyPing:
    """A good ping of this model, at this provider, under this key."""

    provider: str
    credential: str | None
    model_id: str
    interval: timedelta
    """Between pings there."""


def ends_with(standing: Alarm, well: HealthyPing, now: datetime) -> bool:
    """Return whether a good ping ends the alarm.

    The alarm stays while pings of other sessions there still fail for its reason: each of them would open it again. No
    ping ends an alarm about a provider's own configuration."""
    if standing.kind is AlarmKind.MISCONFIGURED and standing.model_id is None:
        return False
    there = (standing.provider, standing.credential) == (well.provider, well.credential)
    about_it = there and standing.model_id in (None, well.model_id)
    return about_it and now - standing.seen_at > QUIET_INTERVALS * well.interval
