"""The parts of a defect, and what it may break."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One change of one function. `tests.mutations.finder` finds it by its name and its syntax."""

    within: str
    """The qualified name of a function, class or constant, such as `Claims._lease` or `_claim_at.claimed`."""
    sound: str
    """An expression, or statements that follow each other; `any_…` stands for any expression."""
    broken: str
    """What takes its place; `any_…` is what it stood for."""
    beside: str | None = None
    """Another name of the same file, where several files define `within`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Defect:
    """A mistake, and the suite that must find it."""

    name: str
    what: str
    edits: Sequence[Edit]
    found_by: Sequence[str]
    """A module that Python runs, and its arguments."""
    found_as: str
    """What must be broken: an invariant, or a test. Any other failure is an accident of the edit."""


def story(name: str) -> Sequence[str]:
    """Return the command of one story, run to its end and crashed at each kind of point once."""
    return ("tests.simulation", "crash-points", "--jobs", "1", "--every", "1000", "--story", name)


#: Invariants, by the distinctive part of their names.
LEAKS = "every placement ever opened is closed or belongs to a live session"
ONCE = "nothing is opened twice"
HEALTHY = "no close of a session that was healthy and within its rules"
ONE_OUTCOME = "every job has exactly one outcome"
CHARGED_ONCE = "each second of RUNNING charged once"
TOLD = "every transition has its event, delivered at least once and in order"
