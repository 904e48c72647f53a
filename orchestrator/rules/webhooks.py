"""Which events a webhook receives, when a failed delivery is tried again, when it is given up, and what may sign."""

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from orchestrator.rules.backoff import backoff
from orchestrator.rules.upstream.addresses import is_loopback
from orchestrator.rules.values import Delivery, Webhook

#: A receiver has this long to answer. Seconds (as the Standard Webhooks advise: 15 to 30 at most).
ANSWERS_WITHIN = 10.0
#: A delivery is tried again after the first, doubled up to the longest. Seconds.
FIRST_RETRY, LONGEST_RETRY = 5.0, 3600.0
#: A receiver that fails is left alone for at most this long. Seconds.
LONGEST_REST = 300.0
#: A delivery that fails this long after its event becomes a dead letter.
GIVEN_UP_AFTER = timedelta(hours=24)
#: This many secrets may sign at once: two, while receivers change over.
MOST_SECRETS = 2
#: After this many failures in a row, or one with Retry-After, a pass sends nothing more.
ENOUGH_FAILURES = 5
#: New events that a pass reads. If this many events wait for a receiver that fails, it reads a few.
BATCH, MOST_WAITING, FEW = 100, 1000, 8
#: How the Standard Webhooks write a secret, and how many bytes it has.
_PREFIX, _KEY_BYTES = "whsec_", range(24, 65)
#: What is said of the reference of another one.
CANNOT_SIGN = "must hold a secret of the Standard Webhooks: whsec_ and 24 to 64 bytes in base64"
_NO_HOST = "must be a URL with a host"


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Why an event did not arrive."""

    answer: str
    """A sentence."""
    retry_after: float = 0.0
    """For how long the receiver asked for no more events (Retry-After). Seconds."""


def url_fault(url: str) -> str | None:
    """Return why events may not be sent to this URL; None if they may."""
    if " " in url or not url.isprintable():
        return "must not contain spaces or control characters"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return _NO_HOST
    if not parts.hostname:
        return _NO_HOST
    if "@" in parts.netloc or parts.fragment:
        return "must not contain a user, password or fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return None
    return "must begin with https:// (http:// is for receivers on this machine)"


def pattern_fault(pattern: str) -> str | None:
    """Return what is wrong with a pattern of event types; None if nothing is."""
    if pattern == "*" or (pattern.startswith("orchestrator.") and pattern.isprintable()):
        return None
    return "must be a type of event, such as orchestrator.session.stopped or orchestrator.account.*"


def unmatched(patterns: Iterable[str], event_types: Collection[str]) -> list[str]:
    """Return the patterns that match none of these types."""
    return [one for one in patterns if not any(fnmatchcase(event_type, one) for event_type in event_types)]


def key_in(secret: str) -> bytes | None:
    """Return the key that this secret is; None if it is too weak, or other libraries would read other bytes."""
    if not secret.startswith(_PREFIX):
        return None
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        return None
    return key if len(key) in _KEY_BYTES else None


def receives(webhook: Webhook, event_type: str, subject: str, data: Mapping[str, Any]) -> bool:
    """Return whether the webhook receives this event."""
    if webhook.event_types and not any(fnmatchcase(event_type, pattern) for pattern in webhook.event_types):
        return False
    return not webhook.account_ids or _account_of(event_type, subject, data) in webhook.account_ids


def events_to_read(waiting: int) -> int:
    """Return how many new events a pass reads. `waiting`: for a receiver that fails; the others stay in the outbox."""
    return BATCH if waiting < MOST_WAITING else FEW


def sends_no_more(in_a_row: int, failed: Sequence[Undelivered]) -> bool:
    """Return whether a pass ends early. `in_a_row`: its last failures, without a success between them; `failed`: all of
    its failures."""
    return in_a_row >= ENOUGH_FAILURES or any(one.retry_after > 0 for one in failed)


def after_pass(webhook: Webhook, *, arrived: int, failed: Sequence[Undelivered], now: datetime) -> Webhook:
    """Return the webhook after a pass. A pass that sent nothing says nothing about the receiver. A receiver that sent
    Retry-After is left alone for this long."""
    if not failed and not arrived:
        return replace(webhook, next_at=now)
    asked = min(max((one.retry_after for one in failed), default=0.0), LONGEST_RETRY)
    answer = failed[-1].answer if failed else None
    if not arrived:
        rest = timedelta(seconds=max(backoff(FIRST_RETRY, webhook.failures, LONGEST_REST), asked))
        return replace(webhook, failures=webhook.failures + 1, next_at=now + rest, last_answer=answer)
    next_at = now + timedelta(seconds=asked)
    return replace(webhook, failures=0, next_at=next_at, last_answer=answer, last_sent_at=now)


def after_failure(delivery: Delivery, failure: Undelivered, now: datetime) -> Delivery:
    """Return the delivery after a try that failed."""
    asked = min(failure.retry_after, LONGEST_RETRY)
    wait = timedelta(seconds=max(backoff(FIRST_RETRY, delivery.tries, LONGEST_RETRY), asked))
    given_up = now - delivery.since >= GIVEN_UP_AFTER
    return replace(
        delivery,
        tries=delivery.tries + 1,
        next_at=now + wait,
        last_answer=failure.answer,
        dead_at=now if given_up else None,
    )


def replayed(delivery: Delivery, now: datetime) -> Delivery:
    """Return the delivery, to be tried at once and for a day."""
    return replace(delivery, since=now, tries=0, next_at=now, dead_at=None)


def _account_of(event_type: str, subject: str, data: Mapping[str, Any]) -> str | None:
    if event_type.startswith("orchestrator.account."):
        return subject
    account = data.get("account_id")
    return account if isinstance(account, str) else None
