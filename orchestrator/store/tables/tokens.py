"""Tokens of the HTTP API."""

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field

from orchestrator.store.core.columns import StringTuple
from orchestrator.store.tables.base import Row


class TokenRow(Row, table=True):
    """The fields of `rules.values.ApiToken`, one to one."""

    __tablename__ = "tokens"

    id: str = Field(primary_key=True)
    name: str
    digest: str
    scopes: tuple[str, ...] = Field(sa_column=Column(StringTuple, nullable=False))
    account_id: str | None = Field(default=None, foreign_key="accounts.id")
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
