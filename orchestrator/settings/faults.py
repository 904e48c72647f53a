"""Faults of the configuration, each with its path; all of them are reported at once."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`path` says where (`providers.aiml.credentials[1]`), `message` what and what to do. Never a secret."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class ConfigurationError(Exception):
    """The process cannot start like this: correct every fault listed, then start it again."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
