"""What the control endpoint accepts, and how it refuses the rest."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from orchestrator.simulator.faultbook import FaultRule
from orchestrator.simulator.faults import FAULTS, check_params
from orchestrator.simulator.platforms import PLATFORMS, operations
from orchestrator.simulator.values import Model, Upstream

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: ways in which a platform ends a session by itself
ENDINGS = ("expired", "dead", "forgotten")


class BadInput(Exception):
    """The request must be changed; `details` name what is wrong, `known` what would be right."""

    def __init__(self, message: str, *, status: int = 400, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.payload = {"error": message, **more}


class ModelSpec(BaseModel):
    """One model of an upstream; a bare text is its id."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1)
    name: str | None = None
    type: str = "LLM"
    reasoning: bool = False
    blockchain_id: str | None = None

    def build(self) -> Model:
        made_up = "0x" + hashlib.sha256(self.id.encode()).hexdigest()
        return Model(**{**self.model_dump(), "blockchain_id": self.blockchain_id or made_up})


class UpstreamSpec(BaseModel):
    """An upstream; what is not listed here is an option of its kind."""

    model_config = ConfigDict(extra="allow")

    kind: str
    keys: list[str] = []
    models: list[ModelSpec] = []

    @field_validator("models", mode="before")
    @classmethod
    def _name_alone(cls, models: Any) -> Any:
        if not isinstance(models, list):
            return models
        return [{"id": model} if isinstance(model, str) else model for model in models]


class FaultSpec(BaseModel):
    """A fault and the calls that it befalls."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: str
    upstream: str | None = None
    key: str | None = None
    model: str | None = None
    session: str | None = None
    operation: str | None = None
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    params: dict[str, Any] = {}


def read_upstream(name: str, given: Any) -> Upstream:
    """Read an upstream from JSON. Raises BadInput."""
    if name == "control" or not NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot name an upstream")
    with _explained():
        spec = UpstreamSpec.model_validate(given)
    platform = PLATFORMS.get(spec.kind)
    if platform is None:
        raise BadInput(f"unknown kind {spec.kind!r}", known=sorted(PLATFORMS))
    with _explained():
        options = platform.options.model_validate(spec.model_extra or {})
    return Upstream(
        name=name,
        kind=spec.kind,
        keys=frozenset(spec.keys),
        models=tuple(model.build() for model in spec.models),
        options=options,
    )


def read_fault(given: Any, upstreams: Mapping[str, Upstream]) -> FaultRule:
    """Read a fault from JSON. Raises BadInput, also for a fault that could never apply."""
    with _explained():
        spec = FaultSpec.model_validate(given)
    _must_be_known("fault", spec.name, FAULTS)
    _must_be_known("upstream", spec.upstream, upstreams)
    _must_be_known("operation", spec.operation, operations())
    with _explained("params"):
        params = check_params(spec.name, spec.params)
    return FaultRule(**{**spec.model_dump(), "params": params})


def read_ending(how: Any) -> str:
    if how not in ENDINGS:
        raise BadInput(f"unknown ending {how!r}", known=list(ENDINGS))
    return str(how)


def _must_be_known(noun: str, name: str | None, known: Any) -> None:
    if name is not None and name not in known:
        raise BadInput(f"unknown {noun} {name!r}", known=sorted(known))


@contextmanager
def _explained(*path: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as wrong:
        details = [
            {"loc": [*path, *fault["loc"]], "msg": fault["msg"], "type": fault["type"]}
            for fault in wrong.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise BadInput("the input is not what it should be", details=details) from None
