"""When a row is checked next, and who works on it until then."""

from dataclasses import dataclass
from datetime import datetime

from orchestrator.rules.states import Step


@dataclass(frozen=True, slots=True)
class Due:
    """The one next step of a row."""

    step: Step
    at: datetime

    def has_come(self, now: datetime) -> bool:
        """Return whether the step is due."""
        return self.at <= now


@dataclass(frozen=True, slots=True)
class Lease:
    """One worker's right to settle a row. After its end another worker may claim the row."""

    token: str
    until: datetime
    since: datetime | None = None
    """When it was claimed; None if that is not recorded."""
