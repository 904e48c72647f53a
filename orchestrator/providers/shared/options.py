"""The options that all drivers have in common."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.faults import Rule, read_fault
from orchestrator.providers.shared.looks import LOOK_PATH
from orchestrator.providers.shared.patterns import URL
from orchestrator.rules.installation.secret_texts import NOT_A_REFERENCE, is_reference
from orchestrator.rules.values import Verdict
from orchestrator.validation.wording import where

MIB = 1024 * 1024


#: A secret by reference.
SecretRef = Annotated[str, where(is_reference, NOT_A_REFERENCE)]


class Meaning(BaseModel):
    """What an error of this platform means, where the shared table would not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    statuses: tuple[Annotated[int, Field(ge=200, le=599)], ...] = Field(min_length=1)
    pattern: str = ""
    """A regular expression over the error's text; empty matches every text."""
    means: Literal[
        "gone",
        "full",
        "credentials",
        "out_of_balance",
        "throttled",
        "key_throttled",
        "loading",
        "transient",
        "misconfigured",
    ]

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise PydanticCustomError(
                "pattern", "is not a regular expression: {why}", {"why": str(error)}
            ) from error
        return pattern

    @property
    def rule(self) -> Rule:
        """For a verdict; a platform that is full is, to a ping, one that fails for now."""
        whole_key = self.means == "key_throttled"
        means = {"full": "transient", "key_throttled": "throttled"}.get(self.means, self.means)
        pattern = re.compile(self.pattern, re.IGNORECASE | re.DOTALL)
        return Rule(Verdict(means.upper()), frozenset(self.statuses), pattern, whole_key)


class DriverOptions(BaseModel):
    """Keys that drivers read themselves; each driver adds its own. Unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(pattern=URL)
    open_timeout_seconds: float = Field(default=420, gt=0)
    close_timeout_seconds: float = Field(default=120, gt=0)
    read_timeout_seconds: float = Field(default=30, gt=0)
    """For calls that change nothing, like model lists."""
    max_list_bytes: int = Field(default=32 * MIB, ge=MIB)
    """Of sessions, instances, models: what is longer is not read. Every other answer is bounded by 1 MiB."""
    ping_most_tokens: int = Field(default=256, ge=1)
    """Where a server wants more tokens than the policy's, at most this many."""
    looks: tuple[Annotated[str, Field(pattern=LOOK_PATH)], ...] = ()
    """Where endpoints answer while they work on another request, relative to their URL (`models`, `../health`)."""
    errors: tuple[Meaning, ...] = ()
    """What the platform's errors mean, laid before the shared table: few platforms document theirs."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The configured rules, which come before the shared ones, for pings and for control calls."""
        return tuple(meaning.rule for meaning in self.errors)

    def meaning(self, answer: Response) -> str | None:
        """Return the configured meaning of an answer; None if there is none."""
        text = read_fault(answer).text
        fitting = (one for one in self.errors if answer.status in one.statuses)
        return next((one.means for one in fitting if one.rule.pattern.search(text)), None)

    @property
    def close_call_seconds(self) -> float:
        """The time for the call of a close. The rest of the close's time is for a look, whatever the answer."""
        return self.close_timeout_seconds - min(self.read_timeout_seconds, self.close_timeout_seconds / 2)

    def url(self, path: str) -> str:
        return self.base_url.rstrip("/") + path
