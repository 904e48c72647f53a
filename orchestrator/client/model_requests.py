"""The job about a model: the contract's names, defaults and limits. Fields are only added."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from orchestrator.client import fields
from orchestrator.client.base import Request
from orchestrator.rules.values import Model, ModelSource, ModelType

#: Fields of PutModel that a Model holds under the same name, unchanged.
_SAME_IN_A_MODEL = (
    "id",
    "type",
    "size",
    "learning_stage",
    "source",
    "owner",
    "files_uploaded",
    "currency",
    "max_duration_seconds",
    "max_interactions",
)


class PutModel(Request):
    """One of `[[models]]`."""

    id: fields.ModelIdentifier
    provider: fields.Identifier | None = None
    providers: Annotated[list[fields.Identifier], Field(min_length=1, max_length=16)] | None = None
    provider_model_id: fields.Line | None = None
    provider_model_ids: dict[fields.Identifier, fields.Line] | None = None
    type: fields.ModelTypeField
    size: Annotated[fields.PlainText, Field(max_length=32)] = ""
    learning_stage: Annotated[fields.PlainText, Field(max_length=64)] = ""
    source: fields.ModelSourceField = ModelSource.CATALOG
    owner: fields.Identifier | None = None
    files_uploaded: bool = False
    tags: Annotated[list[fields.Tag], Field(max_length=64)] = Field(default_factory=list)
    price_per_node_hour: fields.Money
    currency: fields.Currency
    max_duration_seconds: fields.Seconds | None = None
    max_interactions: fields.Count | None = None

    @model_validator(mode="after")
    def _is_served_by_somebody(self) -> Self:
        if (self.provider is None) == (self.providers is None):
            either = "name either {} or {}, in order of preference"
            raise fields.fault("providers", either, "provider", "providers")
        names = self.provider_names
        if len(set(names)) < len(names):
            raise fields.fault("providers", "name each of {} once", "providers")
        if (self.provider_model_id is None) == (self.provider_model_ids is None):
            names = ("provider_model_id", "provider_model_ids")
            raise fields.fault("provider_model_ids", "name either {} or {}", *names)
        if self.provider_model_ids is not None and set(self.provider_model_ids) != set(names):
            sentence = "{} must hold one id for each provider"
            raise fields.fault("provider_model_ids", sentence, "provider_model_ids")
        return self

    @model_validator(mode="after")
    def _is_complete_for_its_kind(self) -> Self:
        if self.source is ModelSource.PRIVATE and self.owner is None:
            raise fields.fault("owner", "a private model needs its {}, an account's id", "owner")
        if self.type is not ModelType.ASR and not {"size", "learning_stage"} <= self.model_fields_set:
            sentence = "a model of type LLM or VLM needs {} and {}"
            raise fields.fault("size", sentence, "size", "learning_stage")
        return self

    @property
    def provider_names(self) -> tuple[str, ...]:
        """Their names in order of preference, however they were given."""
        return tuple(self.providers or ([self.provider] if self.provider else []))

    def as_model(self) -> Model:
        """Return the snapshot that the rest of the system works with."""
        same = dict.fromkeys(self.provider_names, self.provider_model_id or "")
        given = self.model_dump(include=set(_SAME_IN_A_MODEL))
        return Model(
            **given,
            price_per_node_hour=self.price_per_node_hour,
            providers=self.provider_names,
            provider_model_ids=self.provider_model_ids or same,
            tags=tuple(self.tags),
        )
