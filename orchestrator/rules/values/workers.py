"""One process of the platform, as it reports itself."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """The row that a process writes every few seconds. A process that leaves in order removes it."""

    id: str
    kind: str
    """The kind of its work, or `scheduler`."""
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    """When it last reported, by the store's clock."""
    clock_offset_seconds: float
    """Its machine's clock minus the store's."""
    restarts: int = 0
    """How often its tree has started this kind of process again before."""
    last_wake_up_at: datetime | None = None
    """When the broker last delivered a wake-up to it."""
    last_claim_at: datetime | None = None
    last_sent_at: datetime | None = None
    """When the broker last accepted a wake-up of this scheduler."""
    last_fault: str | None = None
