"""Whether a provider is down, or the network of the worker that pings it: results of other providers and workers
decide."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.rules.values import Policy

#: Evidence older than this no longer counts.
WINDOW = timedelta(seconds=60)
#: One endpoint of a provider may fail while others answer. Without any answer for this long, the provider fails.
GRACE = timedelta(seconds=15)
#: A contact that was not seen for this long is deleted.
FORGOTTEN_AFTER = timedelta(hours=1)
_TO = " to "


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """Results of pings of running sessions: one row for each host that workers run on, and provider."""

    host: str
    provider: str
    reached_at: datetime | None = None
    """When the provider last answered; a meaningful error counts as an answer."""
    failing_since: datetime | None = None
    """When the first ping since then failed."""
    failed_at: datetime | None = None
    """When the last ping failed."""

    def is_failing(self) -> bool:
        """Return whether the provider has not answered for longer than one failing endpoint among others explains."""
        if self.failing_since is None or self.failed_at is None:
            return False
        return self.reached_at is None or self.failed_at - self.reached_at >= GRACE

    def was_tried_since(self, instant: datetime) -> bool:
        """Return whether a ping there ended since `instant`, whatever its result."""
        return any(at is not None and at >= instant for at in (self.reached_at, self.failed_at))

    def answers_since(self, instant: datetime) -> bool:
        """Return whether the provider answers, and did so since `instant`."""
        return not self.is_failing() and self.reached_at is not None and self.reached_at >= instant


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is known when a ping of a running session has failed."""

    host: str
    provider: str
    contacts: Sequence[Contact]
    """Contacts of every host and provider, this failure included."""
    failing_since: datetime
    """When the session, or with its first failure the ping, began to fail."""
    now: datetime
    canary_answers: bool | None = None
    """What the operator's canary said meanwhile; None: there is none."""


@dataclass(frozen=True, slots=True)
class ProviderFails:
    """The network works: the failure counts."""


@dataclass(frozen=True, slots=True)
class NetworkFails:
    """This worker's network is at fault: the ping counts as not begun."""

    why: str
    provider: str | None = None
    """The only provider that is not reached from here; None: no provider is reached."""
    is_proven: bool = False
    """Whether another worker or the canary proves it: then it counts for as long as it lasts."""


@dataclass(frozen=True, slots=True)
class NotKnown:
    """The other providers, named here, were not tried meanwhile: their next pings decide."""

    ask: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NothingToCompare:
    """No other provider is pinged from here, and no other worker pings this one: the failure counts."""


Finding = ProviderFails | NetworkFails | NotKnown | NothingToCompare


def judge(evidence: Evidence) -> Finding:
    """Return whether the provider, the network or neither is known to be at fault."""
    seen = max(evidence.failing_since, evidence.now - WINDOW)
    here = [one for one in evidence.contacts if one.host == evidence.host]
    elsewhere = [
        one for one in evidence.contacts if one.host != evidence.host and one.provider == evidence.provider
    ]
    mine = next((one for one in here if one.provider == evidence.provider), None)
    others = [one for one in here if one.provider != evidence.provider]
    if mine is None or not mine.answers_since(seen):
        witness = next((one for one in elsewhere if one.answers_since(seen)), None)
        if witness is not None:
            why = f"{evidence.provider} answers to workers on {witness.host}"
            return NetworkFails(why, provider=evidence.provider, is_proven=True)
    if any(one.answers_since(seen) for one in here):
        return ProviderFails()
    if evidence.canary_answers is not None:
        answers = evidence.canary_answers
        return ProviderFails() if answers else NetworkFails("the canary does not answer", is_proven=True)
    return _compared(mine, others, evidence.now)


def subject_of(host: str, provider: str | None = None) -> str:
    """Return the subject of a network alarm: a host, or its way to the only provider that it does not reach."""
    return host if provider is None else f"{host}{_TO}{provider}"


def concerns(subject: str, provider: str) -> bool:
    """Return whether an alarm about this subject protects sessions of the provider: an alarm about a whole host
    protects all."""
    _, to_one, only = subject.rpartition(_TO)
    return not to_one or only == provider


def is_still_at_fault(
    finding: NetworkFails, contacts: Iterable[Contact], now: datetime, most: timedelta
) -> bool:
    """Return whether the network still counts as at fault. If only the silence of all providers suggests it, sessions
    are judged again after `most`."""
    if finding.is_proven:
        return True
    since = [one.failing_since for one in contacts if one.failing_since is not None]
    return not since or now - min(since) <= most


def may_wait(evidence: Evidence, policy: Policy) -> bool:
    """Return whether a failure that may be the last can wait until other providers were pinged too: not for ever."""
    longest = timedelta(seconds=policy.dead_after_seconds + policy.ping_timeout_seconds) + WINDOW
    here = (one for one in evidence.contacts if one.host == evidence.host)
    mine = next((one for one in here if one.provider == evidence.provider), None)
    return mine is None or mine.failing_since is None or evidence.now - mine.failing_since <= longest


def _compared(mine: Contact | None, others: Sequence[Contact], now: datetime) -> Finding:
    active = [one for one in others if one.was_tried_since(now - WINDOW)]
    failing = [one.provider for one in active if one.is_failing()]
    if mine is not None and mine.is_failing() and active and len(failing) == len(active):
        return NetworkFails(f"no provider answers: {', '.join(sorted([mine.provider, *failing]))}")
    silent = tuple(sorted(one.provider for one in others if not one.is_failing()))
    return NotKnown(silent) if silent else NothingToCompare()
