"""Webhooks: where events are sent to, and what waits for another try."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.rules.values.leases import Lease


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """One receiver of events."""

    name: str
    url: str
    secret_refs: tuple[str, ...]
    """References of the secrets that sign: the new one and the old one while receivers change over."""
    event_types: tuple[str, ...] = ()
    """Patterns of types, where `*` stands for any characters; empty: all types."""
    account_ids: tuple[str, ...] = ()
    """Only events of these accounts; empty: all events."""
    active: bool = True
    from_file: bool = False
    """Whether it is in `orchestrator.toml`, which then decides."""
    place: int
    """The place in the outbox up to which every event was sent, or waits for another try."""
    gap_until: int | None = None
    """Where a place after `place` is missing: transactions older than this may still fill it."""
    failures: int = 0
    """Passes that failed since one succeeded."""
    next_at: datetime
    """Nothing is sent before it."""
    lease: Lease | None = None
    last_answer: str | None = None
    """What the receiver last answered if it failed; None after a success."""
    last_sent_at: datetime | None = None
    """When an event last arrived."""
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One event that did not arrive yet, or waits behind one of its subject that did not."""

    webhook: str
    seq: int
    """The event's place in the outbox."""
    event_id: str
    type: str
    subject: str
    time: datetime
    data: Mapping[str, Any]
    since: datetime
    """Since when it is tried: its time, or that of its replay."""
    tries: int = 0
    next_at: datetime
    last_answer: str | None = None
    dead_at: datetime | None = None
    """When it was given up: it is a dead letter until it is replayed."""
