"""The record of a session after it has left the live tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from orchestrator.rules.states import State


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedSession:
    """The record of a session that retention has taken out of the live tables, with its full data where that is kept.

    Until it is deleted, it counts against `max_sessions` and keeps its name, as before."""

    id: str
    account_id: str
    name: str
    state: State
    provider: str | None
    stop_reason: str | None
    request_digest: str
    charged: Decimal
    charges: int
    currency: str
    created_at: datetime
    ended_at: datetime
    """When it ended; of one that never started: when it was deleted."""
    archived_at: datetime
    deleted_at: datetime | None = None
    record: Mapping[str, Any] | None = None
    """The session with its placements, as they were; None: they were deleted."""
    digest: str | None = None
    """The digest of the record and the ledger entries."""
