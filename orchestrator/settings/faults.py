"""Faults of the configuration, each with its place; all of them are reported at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.validation.locs import Loc, path_of


@dataclass(frozen=True, slots=True)
class Fault:
    """`loc` is its place, `message` says what is wrong and what to do. Never a secret."""

    loc: Loc
    message: str

    @property
    def path(self) -> str:
        return path_of(self.loc)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigurationError(Exception):
    """The process cannot start like this: correct every fault listed, then start it again."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
