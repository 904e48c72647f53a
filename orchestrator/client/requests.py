"""The jobs, one model each: the contract's names, defaults and limits. Fields are only added."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from orchestrator.client import fields
from orchestrator.client.account_requests import (
    BudgetAccount,
    CreditAccount,
    DebitAccount,
    PutAccount,
    QuotaRequest,
)
from orchestrator.client.base import Part, Request
from orchestrator.client.model_requests import PutModel
from orchestrator.client.read_requests import GetAccount, GetSession, ListSessions
from orchestrator.rules.values import Attach, OnQuota

__all__ = [
    "JOBS",
    "AttachRequest",
    "BudgetAccount",
    "CloseSession",
    "CreateSession",
    "CreditAccount",
    "DebitAccount",
    "DeleteSession",
    "ExtendSession",
    "GetAccount",
    "GetSession",
    "Interactions",
    "ListSessions",
    "PingSession",
    "ProviderOptions",
    "PutAccount",
    "PutModel",
    "QuotaRequest",
    "RecordInteractions",
    "Request",
    "StartSession",
    "StopRequest",
]


class StopRequest(Part):
    """When the session shall stop; the earliest counts."""

    max_duration_seconds: fields.Seconds | None = None
    max_interactions: fields.Count | None = None
    idle_seconds: fields.Seconds | None = None
    max_cost: fields.Money | None = None


class ProviderOptions(Part):
    """Upstream's own flags, passed on as they are."""

    direct_payment: bool | None = None
    failover: bool | None = None
    bid_id: fields.Line | None = None


class AttachRequest(Part):
    """An endpoint that another party opened; its secret by reference."""

    endpoint_url: fields.EndpointUrl
    secret_ref: fields.Reference
    model: fields.Line
    ends_at: fields.Timestamp | None = None

    def as_attach(self) -> Attach:
        """Return the snapshot that the rest of the system works with."""
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
            sentence = '{} needs {} "operator": only an operator can prove a close'
            raise fields.fault("confirm", sentence, "confirm", "reason")
        return self

    @model_validator(mode="after")
    def _force_is_told_of(self) -> Self:
        if not self.force:
            return self
        if self.reason != "operator" or self.detail is None or self.by is None:
            needs = '{} needs {} "operator", and for the report {}: why, and {}: who'
            raise fields.fault("force", needs, "force", "reason", "detail", "by")
        if self.confirm:
            sentence = "{} is for a close without proof, {} for one with it: give one"
            raise fields.fault("force", sentence, "force", "confirm")
        return self


class ExtendSession(Request):
    """New totals, not additions."""

    session_id: fields.Identifier
    max_duration_seconds: fields.Seconds | None = None
    max_interactions: fields.Count | None = None
    max_cost: fields.Money | None = None

    @model_validator(mode="after")
    def _extends_something(self) -> Self:
        totals = ("max_duration_seconds", "max_interactions", "max_cost")
        if all(getattr(self, total) is None for total in totals):
            raise fields.fault("nothing", "name at least one of {}, {}, {}", *totals)
        return self


class PingSession(Request):
    session_id: fields.Identifier


class DeleteSession(Request):
    session_id: fields.Identifier


class Interactions(Part):
    session_id: fields.Identifier
    count: fields.Count
    ok: bool = True
    at: fields.Timestamp | None = None
    """When it was used; None: now. Only what is known to lie before an idle stop moves it, however late that is
    reported."""
    began: fields.Timestamp | None = None
    """Without `ended`: under way since then, and not counted before it has ended."""
    ended: fields.Timestamp | None = None
    """In place of `at`."""

    @model_validator(mode="after")
    def _ends_after_it_began(self) -> Self:
        if self.at is not None and (self.began is not None or self.ended is not None):
            sentence = "give {}, or {} and {}, not both"
            raise fields.fault("two_instants", sentence, "at", "began", "ended")
        if self.began is not None and self.ended is not None and self.ended < self.began:
            raise fields.fault("ended_too_early", "{} is before {}", "ended", "began")
        return self

    @property
    def is_under_way(self) -> bool:
        """Whether it has begun and not ended yet."""
        return self.began is not None and self.ended is None


class RecordInteractions(Request):
    batch: Annotated[list[Interactions], Field(min_length=1, max_length=10_000)]


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
        "orchestrator.account.debit": DebitAccount,
        "orchestrator.account.budget": BudgetAccount,
        "orchestrator.model.put": PutModel,
        "orchestrator.session.get": GetSession,
        "orchestrator.session.list": ListSessions,
        "orchestrator.account.get": GetAccount,
    }
)
