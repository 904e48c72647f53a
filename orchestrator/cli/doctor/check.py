"""The words of a check: what it looks at, and what it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    ok: bool
    detail: str
    warning: bool = False
    """It works, and an operator should look at it all the same."""
    skipped: bool = False
    """What it rests on is broken: it has nothing of its own to say."""

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON. `warning` and `skipped` are included only where they are true."""
        found = {"check": self.check, "ok": self.ok, "detail": self.detail}
        marks = {"warning": self.warning, "skipped": self.skipped}
        return found | {name: True for name, is_so in marks.items() if is_so}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at, and the checks it rests on: where one of those is broken, this one is skipped.

    `look` returns what to show when all is well; it raises `Complaint` when something is broken (or any error that
    `cli.failures` can explain), and `Doubt` when it works but an operator should look."""

    name: str
    look: Callable[["Settings"], str]
    rests_on: Sequence[str] = ()


class Doubt(Exception):
    """Nothing is broken; the message says what to look at."""
