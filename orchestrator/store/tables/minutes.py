"""What happened minute by minute, for charts. Old rows are deleted."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Float, text
from sqlmodel import Field

from orchestrator.store.core.columns import money
from orchestrator.store.tables.base import Row


def _counter() -> Any:
    return Column(BigInteger, nullable=False, server_default=text("0"))


def _sampled(kind: Any) -> Any:
    return Column(kind, nullable=True)


def _object() -> Any:
    return _sampled(JSON(none_as_null=True))


class MinuteRow(Row, table=True):
    """The fields of `rules.values.PingCounts` and, once the minute is sampled, of `rules.values.MinuteSample`."""

    __tablename__ = "minutes"

    minute: datetime = Field(primary_key=True)
    provider: str = Field(primary_key=True)
    pings_alive: int = Field(sa_column=_counter())
    pings_throttled: int = Field(sa_column=_counter())
    pings_loading: int = Field(sa_column=_counter())
    pings_transient: int = Field(sa_column=_counter())
    pings_gone: int = Field(sa_column=_counter())
    pings_credentials: int = Field(sa_column=_counter())
    pings_out_of_balance: int = Field(sa_column=_counter())
    pings_misconfigured: int = Field(sa_column=_counter())
    ping_ms: int = Field(sa_column=_counter())
    ping_most_ms: int = Field(sa_column=_counter())
    tokens: int = Field(sa_column=_counter())
    cost_usd: Decimal = Field(sa_column=money())
    began_running: int = Field(sa_column=_counter())
    until_running_ms: int = Field(sa_column=_counter())
    until_running_most_ms: int = Field(sa_column=_counter())
    sampled_at: datetime | None = None
    sessions: Mapping[str, int] | None = Field(default=None, sa_column=_object())
    unproven: int | None = Field(default=None, sa_column=_sampled(BigInteger))
    at_risk: Mapping[str, str] | None = Field(default=None, sa_column=_object())
    burning: Mapping[str, str] | None = Field(default=None, sa_column=_object())
    overdue_seconds: float | None = Field(default=None, sa_column=_sampled(Float))
    opened: int | None = Field(default=None, sa_column=_sampled(BigInteger))
    not_opened: int | None = Field(default=None, sa_column=_sampled(BigInteger))
    closed: int | None = Field(default=None, sa_column=_sampled(BigInteger))
    close_lag_ms: int | None = Field(default=None, sa_column=_sampled(BigInteger))
    close_lag_most_ms: int | None = Field(default=None, sa_column=_sampled(BigInteger))
