"""Models that sessions serve."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class ModelType(StrEnum):
    LLM = "LLM"
    VLM = "VLM"
    ASR = "ASR"


class ModelSource(StrEnum):
    CATALOG = "catalog"
    PRIVATE = "private"


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A model that sessions serve: the fields of `[[models]]`."""

    id: str
    providers: tuple[str, ...]
    """In order of preference."""
    provider_model_ids: Mapping[str, str]
    """Provider → its own name of the model."""
    type: ModelType
    size: str
    """Number of parameters as written by people (`8B`, `0.5B`, `350M`)."""
    learning_stage: str
    source: ModelSource = ModelSource.CATALOG
    owner: str | None = None
    files_uploaded: bool = False
    tags: tuple[str, ...] = ()
    price_per_node_hour: Decimal
    currency: str
    max_duration_seconds: int | None = None
    max_interactions: int | None = None
