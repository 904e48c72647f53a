"""The types of a check: what it examines, and what it finds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    ok: bool
    detail: str
    warning: bool = False
    """It works, and an operator should look at it anyway."""
    skipped: bool = False
    """What it rests on is broken: it has nothing of its own to say."""

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON. `warning` and `skipped` are included only where they are true."""
        found = {"check": self.check, "ok": self.ok, "detail": self.detail}
        marks = {"warning": self.warning, "skipped": self.skipped}
        return found | {name: True for name, is_so in marks.items() if is_so}


@dataclass(frozen=True, slots=True)
class Check:
    """One check, and the checks it depends on: if one of those fails, this one is skipped.

    `look` returns what to show when all is well. It raises `Complaint` when something is broken (or any error that
    `cli.failures` can explain), and `Doubt` when it works but an operator should look."""

    name: str
    look: Callable[["Settings"], str]
    rests_on: Sequence[str] = ()


class Doubt(Exception):
    """Nothing is broken, but an operator should look at what the message says."""
