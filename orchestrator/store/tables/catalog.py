"""Models that can be served, and references to the secrets for them."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field

from orchestrator.rules.values import ModelSource, ModelType
from orchestrator.store.core.columns import StringTuple, enum, json_object, money, one_of
from orchestrator.store.tables.base import Row


class ModelRow(Row, table=True):
    """A model of the catalog, or private to an account."""

    __tablename__ = "models"
    __table_args__ = (one_of("type", ModelType), one_of("source", ModelSource))

    id: str = Field(primary_key=True)
    providers: tuple[str, ...] = Field(sa_column=Column(StringTuple, nullable=False))
    provider_model_ids: Mapping[str, str] = Field(sa_column=json_object())
    type: ModelType = Field(sa_column=enum(ModelType))
    size: str
    learning_stage: str
    source: ModelSource = Field(sa_column=enum(ModelSource))
    owner: str | None = None
    files_uploaded: bool
    tags: tuple[str, ...] = Field(sa_column=Column(StringTuple, nullable=False))
    price_per_node_hour: Decimal = Field(sa_column=money())
    currency: str
    max_duration_seconds: int | None = None
    max_interactions: int | None = None


class CredentialRow(Row, table=True):
    """One secret in a provider's key ring, by its reference. The secret itself is never stored."""

    __tablename__ = "credentials"
    __table_args__ = (Index("ix_credentials_provider", "provider", "last_used_at"),)

    id: str = Field(primary_key=True)
    provider: str
    ref: str
    exclusive: bool
    serialised: bool
    fingerprint: str
    retired: bool
    paused_since: datetime | None = None
    paused_reason: str | None = None
    resting_until: datetime | None = None
    cool_until: datetime | None = None
    checked_at: datetime | None = None
    last_used_at: datetime | None = None
    lease_token: str | None = None
    lease_until: datetime | None = None


class InstallationRow(Row, table=True):
    """The id of the installation that owns this database. There is one row."""

    __tablename__ = "installation"

    n: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    id: str


class BrakeRow(Row, table=True):
    """A provider or credential with a brake, now or until recently."""

    __tablename__ = "brakes"

    scope: str = Field(primary_key=True)
    provider: str
    credential: str | None = None
    since: datetime
    until: datetime
    reason: str
    successes: int
    expired_at: datetime | None = None


class MeterRow(Row, table=True):
    """The cost of a provider's pings, and the balance that the provider reported."""

    __tablename__ = "meters"

    provider: str = Field(primary_key=True)
    pings: int = Field(sa_column=Column(BigInteger, nullable=False))
    tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    cost_usd: Decimal = Field(sa_column=money())
    balance: Decimal | None = Field(default=None, sa_column=money(nullable=True))
    balance_currency: str | None = None
    balance_at: datetime | None = None
    balance_is_low: bool


class ReconcileObservationRow(Row, table=True):
    """A resource that is listed and not ours, or ours and not listed. It is deleted with the first list that shows
    otherwise."""

    __tablename__ = "sightings"

    provider: str = Field(primary_key=True)
    credential: str = Field(primary_key=True)
    handle: str = Field(primary_key=True)
    missing: bool
    since: datetime
