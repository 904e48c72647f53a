"""What a person asks a session's endpoint, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.providers.port.driver import Endpoint, Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A file that goes with a question."""

    name: str
    kind: str
    """Its media type."""
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a person asks."""

    text: str
    system: str = ""
    options: Mapping[str, float | int] = field(default_factory=dict)
    """`temperature`, `top_p`, `top_k`, `repetition_penalty`, `max_tokens`: those that were given."""
    attachment: Attachment | None = None
    speech: bool = False
    """The model transcribes; the attachment is what it hears."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What came back."""

    ok: bool
    text: str
    elapsed_ms: int
    tokens: int | None = None


class AsksEndpoints(Protocol):
    """Something that asks endpoints."""

    async def ask(
        self, endpoint: Endpoint, secret: Secret | None, question: Question, *, attached: bool
    ) -> Reply:
        """Ask once. `attached`: another party opened the endpoint."""
