"""The nouns of the simulated world: frozen, so that a snapshot stays what it was."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model that an upstream lists; `blockchain_id` matters to marketplaces only."""

    id: str
    blockchain_id: str
    name: str | None = None
    type: str = "LLM"
    reasoning: bool = False

    def answers_to(self, reference: str) -> bool:
        """Return whether this is one of the model's names. Platforms accept more than one."""
        return reference in {self.id, self.name, self.blockchain_id}

    @property
    def hears(self) -> bool:
        """Speech models transcribe and cannot chat."""
        return self.type in {"ASR", "STT"}


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """One simulated platform account, mounted under its name."""

    name: str
    kind: str
    keys: frozenset[str]
    models: tuple[Model, ...]
    options: BaseModel

    def model(self, reference: str) -> Model | None:
        """Return the listed model that a caller means, by any of its names."""
        return next((model for model in self.models if model.answers_to(reference)), None)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "keys": sorted(self.keys),
            "models": [asdict(model) for model in self.models],
            **self.options.model_dump(mode="json"),
        }


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call as the platform saw it."""

    seq: int
    began_at: float
    upstream: str
    kind: str
    operation: str
    #: what follows the upstream's name in the URL
    path: str = ""
    key: str | None = None
    session: str | None = None
    model: str | None = None
    ended_at: float | None = None
    #: None: no answer left the platform
    status: int | None = None
    #: a whole answer in the platform's own format was sent
    answered: bool = False
    fault: str | None = None
    effect: str | None = None
    #: the newest call that had begun when this one ended: an order that no clock can blur
    ended_after: int | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def matches(self, wanted: Mapping[str, Any]) -> bool:
        return all(getattr(self, name) == value for name, value in wanted.items())


@dataclass(frozen=True, kw_only=True)
class SimSession:
    """One session that some platform opened, kept for ever."""

    id: str
    upstream: str
    key: str
    model: str
    opened_at: float
    ends_at: float
    #: position among all opens and ends: an order that no clock can blur
    opened_order: int
    closed_order: int | None = None
    closed_at: float | None = None
    #: client, ping, displaced, expired, dead or forgotten
    closed_by: str | None = None
    leaked: bool = False
    #: what its platform knows it by besides the id: the caller's name for it, or a bid
    label: str | None = None

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
