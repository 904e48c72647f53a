"""Webhooks, and the events that did not arrive there yet."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index
from sqlmodel import Field

from orchestrator.store.core.columns import StringTuple, json_object
from orchestrator.store.tables.base import Row


class WebhookRow(Row, table=True):
    """The fields of `rules.values.Webhook`, one to one."""

    __tablename__ = "webhooks"

    name: str = Field(primary_key=True)
    url: str
    secret_refs: tuple[str, ...] = Field(sa_column=Column(StringTuple, nullable=False))
    event_types: tuple[str, ...] = Field(sa_column=Column(StringTuple, nullable=False))
    account_ids: tuple[str, ...] = Field(sa_column=Column(StringTuple, nullable=False))
    active: bool
    from_file: bool
    place: int = Field(sa_column=Column(BigInteger, nullable=False))
    gap_until: int | None = Field(default=None, sa_column=Column(BigInteger))
    failures: int
    next_at: datetime
    lease_token: str | None = None
    lease_until: datetime | None = None
    last_answer: str | None = None
    last_sent_at: datetime | None = None
    created_at: datetime


class DeliveryRow(Row, table=True):
    """The fields of `rules.values.Delivery`, one to one."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_due", "webhook", "dead_at", "next_at"),
        Index("ix_webhook_deliveries_subject", "webhook", "subject", "seq"),
    )

    webhook: str = Field(primary_key=True, foreign_key="webhooks.name")
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    event_id: str
    type: str
    subject: str
    time: datetime
    data: Mapping[str, Any] = Field(sa_column=json_object())
    since: datetime
    tries: int
    next_at: datetime
    last_answer: str | None = None
    dead_at: datetime | None = None
