"""What is received and sent: jobs with their outcomes, events, and leases of the platform's own upkeep."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, text
from sqlmodel import Field

from orchestrator.store.core.columns import json_object, serial
from orchestrator.store.tables.base import Row


class InboxRow(Row, table=True):
    """One job, under its task id, with its one outcome."""

    __tablename__ = "inbox"
    __table_args__ = (Index("ix_inbox_received", "received_at"),)

    task_id: str = Field(primary_key=True)
    name: str
    fingerprint: str | None = None
    """The fingerprint of the arguments; None in rows of an earlier release."""
    received_at: datetime
    outcome: Mapping[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    parts: Mapping[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """The results of the accounts that are done, while the job is under way."""
    author: str | None = None
    """The name of the API token that sent it; None for a message from the broker."""


class ParkedRow(Row, table=True):
    """The fields of `rules.messages.ParkedMessage`, one to one."""

    __tablename__ = "parked_messages"
    __table_args__ = (Index("ix_parked_messages_parked", "parked_at", "id"),)

    id: str = Field(primary_key=True)
    parked_at: datetime
    queue: str
    reason: str
    task: str | None = None
    task_id: str | None = None
    size: int
    head: str
    kept_as: str | None = None


class OutboxRow(Row, table=True):
    """One event, written in the transaction of the change it reports."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(
            "ix_outbox_waiting",
            "seq",
            postgresql_where=text("delivered_at IS NULL"),
            sqlite_where=text("delivered_at IS NULL"),
        ),
        Index("uq_outbox_id", "id", unique=True),
        Index("ix_outbox_subject", "subject", "seq"),
    )

    seq: int | None = Field(default=None, sa_column=serial())
    id: str
    type: str
    subject: str
    time: datetime
    data: Mapping[str, Any] = Field(sa_column=json_object())
    delivered_at: datetime | None = None


class LeaseRow(Row, table=True):
    """The holder of a piece of upkeep. `fence` grows with each new holder."""

    __tablename__ = "leases"

    name: str = Field(primary_key=True)
    holder: str
    fence: int
    until: datetime
    at: datetime
    """When the holder last renewed the lease."""
