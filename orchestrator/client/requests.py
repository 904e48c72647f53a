"""The jobs, one model each: the contract's names, defaults and limits. Fields are only added."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.client import fields
from orchestrator.rules.values import Attach, Model, ModelSource, ModelType, OnQuota


class _Part(BaseModel):
    """Types as JSON gives them ("5" is no number, true is none either); unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Request(_Part):
    """The keyword arguments of a job, checked."""


class StopRequest(_Part):
    """When the session shall stop; the earliest counts."""

    max_duration_seconds: fields.Seconds | None = None
    max_interactions: fields.Count | None = None
    idle_seconds: fields.Seconds | None = None
    max_cost: fields.Money | None = None


class ProviderOptions(_Part):
    """Upstream's own flags, passed on as they are."""

    direct_payment: bool | None = None
    failover: bool | None = None
    bid_id: fields.Line | None = None


class AttachRequest(_Part):
    """An endpoint that somebody else opened; its secret by reference."""

    endpoint_url: fields.EndpointUrl
    secret_ref: fields.Reference
    model: fields.Line
    ends_at: fields.Timestamp | None = None

    def as_attach(self) -> Attach:
        """The snapshot that the rest of the system works with."""
        return Attach(
            endpoint_url=self.endpoint_url, secret_ref=self.secret_ref, model=self.model, ends_at=self.ends_at
        )


class CreateSession(Request):
    account_id: fields.Identifier
    model_id: fields.ModelIdentifier
    name: fields.Name | None = None
    session_id: fields.Identifier | None = None
    description: fields.Text | None = None
    nodes: fields.Nodes = 1
    stop: StopRequest = StopRequest()
    start: bool = True
    on_quota: fields.OnQuotaField = OnQuota.REJECT
    failover: bool = False
    provider_options: ProviderOptions = ProviderOptions()
    provider: fields.Identifier | None = None
    credential: fields.Reference | None = None
    attach: AttachRequest | None = None
    metadata: fields.Metadata = Field(default_factory=dict)


class StartSession(Request):
    session_id: fields.Identifier
    on_quota: fields.OnQuotaField | None = None
    """None: as the session was created."""


class CloseSession(Request):
    session_id: fields.Identifier
    reason: Literal["user", "operator"] = "user"
    detail: fields.Text | None = None
    confirm: bool = False
    """An operator's proof that it is gone."""
    force: bool = False
    """An operator ends it without any proof; `detail` says why, and stays in the report."""
    by: fields.Text | None = None
    """Who that is."""

    @model_validator(mode="after")
    def _only_operators_confirm(self) -> Self:
        if self.confirm and self.reason != "operator":
            raise fields.fault(
                "confirm", 'confirm needs reason "operator": only an operator can prove a close'
            )
        return self

    @model_validator(mode="after")
    def _force_is_told_of(self) -> Self:
        if not self.force:
            return self
        if self.reason != "operator" or self.detail is None:
            raise fields.fault("force", 'force needs reason "operator", and detail: why, for the report')
        if self.confirm:
            raise fields.fault(
                "force", "force is for a close without proof, confirm for one with it: give one"
            )
        return self


class ExtendSession(Request):
    """New totals, not additions."""

    session_id: fields.Identifier
    max_duration_seconds: fields.Seconds | None = None
    max_interactions: fields.Count | None = None
    max_cost: fields.Money | None = None

    @model_validator(mode="after")
    def _extends_something(self) -> Self:
        if (self.max_duration_seconds, self.max_interactions, self.max_cost) == (None, None, None):
            raise fields.fault(
                "nothing", "name at least one of max_duration_seconds, max_interactions, max_cost"
            )
        return self


class PingSession(Request):
    session_id: fields.Identifier


class DeleteSession(Request):
    session_id: fields.Identifier


class Interactions(_Part):
    session_id: fields.Identifier
    count: fields.Count
    ok: bool = True
    at: fields.Timestamp | None = None
    """None: now."""


class RecordInteractions(Request):
    batch: Annotated[list[Interactions], Field(min_length=1, max_length=10_000)]


class QuotaRequest(_Part):
    """An account's own numbers: what is left out stays, "plan" is its plan's again, "unlimited" is no limit."""

    max_sessions: fields.Limit | None = None
    max_concurrent: fields.Limit | None = None
    max_nodes: fields.Limit | None = None
    max_nodes_total: fields.Limit | None = None

    def laid_over(self, own: Mapping[str, int | None]) -> dict[str, int | None]:
        """The snapshot's mapping: only what is the account's own; None is no limit."""
        wanted = {**own, **self.model_dump(exclude_none=True)}
        numbers = {name: limit for name, limit in wanted.items() if limit != fields.THE_PLANS}
        return {name: None if limit == fields.UNLIMITED else limit for name, limit in numbers.items()}


class PutAccount(Request):
    """Who knows only plan and currency takes nothing away: the numbers of its own that are left out stay."""

    account_id: fields.Identifier
    plan: fields.Identifier
    currency: fields.Currency
    quota: QuotaRequest = QuotaRequest()
    overdraft_limit: fields.Overdraft | None = None
    """How far the balance may go below zero; "0" is not at all, "plan" is the plan's again."""

    def overdraft_over(self, own: Decimal | None) -> Decimal | None:
        """The account's own overdraft from now on; None: the plan's."""
        if self.overdraft_limit is None:
            return own
        return None if self.overdraft_limit == fields.THE_PLANS else self.overdraft_limit


class CreditAccount(Request):
    account_id: fields.Identifier
    amount: fields.Money
    currency: fields.Currency
    key: fields.Line
    """The same key credits once."""


class PutModel(Request):
    """One of `[[models]]`."""

    id: fields.ModelIdentifier
    provider: fields.Identifier | None = None
    providers: Annotated[list[fields.Identifier], Field(min_length=1, max_length=16)] | None = None
    provider_model_id: fields.Line | None = None
    provider_model_ids: dict[fields.Identifier, fields.Line] | None = None
    type: fields.ModelTypeField
    size: Annotated[str, Field(max_length=32)] = ""
    learning_stage: Annotated[str, Field(max_length=64)] = ""
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
            raise fields.fault("providers", "name either provider or providers, in order of preference")
        names = self.provider_names
        if len(set(names)) < len(names):
            raise fields.fault("providers", "name each of providers once")
        if (self.provider_model_id is None) == (self.provider_model_ids is None):
            raise fields.fault("provider_model_ids", "name either provider_model_id or provider_model_ids")
        if self.provider_model_ids is not None and set(self.provider_model_ids) != set(names):
            raise fields.fault("provider_model_ids", "provider_model_ids must hold one id for each provider")
        return self

    @model_validator(mode="after")
    def _is_complete_for_its_kind(self) -> Self:
        if self.source is ModelSource.PRIVATE and self.owner is None:
            raise fields.fault("owner", "a private model needs its owner, an account's id")
        if self.type is not ModelType.ASR and not {"size", "learning_stage"} <= self.model_fields_set:
            raise fields.fault("size", "a model of type LLM or VLM needs size and learning_stage")
        return self

    @property
    def provider_names(self) -> tuple[str, ...]:
        """In order of preference, however they were given."""
        return tuple(self.providers or ([self.provider] if self.provider else []))

    def as_model(self) -> Model:
        """The snapshot that the rest of the system works with."""
        same = dict.fromkeys(self.provider_names, self.provider_model_id or "")
        given = self.model_dump(include=set(_SAME_IN_A_MODEL))
        return Model(
            **given,
            price_per_node_hour=self.price_per_node_hour,
            providers=self.provider_names,
            provider_model_ids=self.provider_model_ids or same,
            tags=tuple(self.tags),
        )


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

#: Every job by its task's name.
JOBS: Mapping[str, type[Request]] = MappingProxyType(
    {
        "orchestrator.session.create": CreateSession,
        "orchestrator.session.start": StartSession,
        "orchestrator.session.close": CloseSession,
        "orchestrator.session.extend": ExtendSession,
        "orchestrator.session.ping": PingSession,
        "orchestrator.session.delete": DeleteSession,
        "orchestrator.session.record_interactions": RecordInteractions,
        "orchestrator.account.put": PutAccount,
        "orchestrator.account.credit": CreditAccount,
        "orchestrator.model.put": PutModel,
    }
)
