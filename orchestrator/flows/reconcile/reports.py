"""The options of a comparison with a provider's list, and its result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.rules.events import rfc3339
from orchestrator.rules.reconcile.lists import Action, Difference


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileOptions:
    """The options of an operator, or of the schedule."""

    dry_run: bool = False
    """Write nothing, and say what would be done."""
    max_share: float | None = None
    """Instead of the policy's; one or more touches everything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A finding, and whether what follows from it was done; in a dry run nothing is."""

    finding: Difference
    done: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileReport:
    """The result of one list."""

    provider: str
    credential: str | None
    listed: int = 0
    problem: str | None = None
    """Why there was no list: nothing was decided."""
    refused: str | None = None
    """Why nothing of what it showed was touched."""
    outcomes: Sequence[Outcome] = ()

    @property
    def is_wrong(self) -> bool:
        """Return whether the comparison failed, was refused, or found anything besides what is right or too early to
        decide."""
        found = any(one.finding.action is not Action.WAIT for one in self.outcomes)
        return found or self.problem is not None or self.refused is not None


def as_json_of(report: ReconcileReport) -> dict[str, Any]:
    """Return the result of one list, for programs."""
    return {
        "provider": report.provider,
        "credential": report.credential,
        "listed": report.listed,
        "problem": report.problem,
        "refused": report.refused,
        "findings": [
            {
                "kind": one.finding.action.value,
                "done": one.done,
                "handle": one.finding.handle,
                "session_id": one.finding.session_id,
                "placement_id": one.finding.placement_id,
                "why": one.finding.why,
                "since": rfc3339(one.finding.since),
            }
            for one in report.outcomes
        ],
    }
