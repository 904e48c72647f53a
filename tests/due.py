"""What stories read off a row's next step and its lease; None if it has none."""

from datetime import datetime

from orchestrator.rules.states import Step
from orchestrator.rules.values import Account, Credential, Placement, Session


def step_of(row: Session | Placement | Account) -> Step | None:
    """Return the row's next step."""
    return row.due.step if row.due else None


def due_at(row: Session | Placement | Account) -> datetime | None:
    """Return when its next step is due."""
    return row.due.at if row.due else None


def token_of(row: Session | Placement | Credential) -> str | None:
    """Return the token of its lease."""
    return row.lease.token if row.lease else None
