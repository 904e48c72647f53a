"""Results of pings by host and provider, for all workers to read."""

from datetime import datetime

from sqlmodel import Field

from orchestrator.store.tables.base import Row


class ContactRow(Row, table=True):
    """The fields of `rules.network.Contact`, one to one: a row for each host and provider, pruned after an hour."""

    __tablename__ = "contacts"

    host: str = Field(primary_key=True)
    provider: str = Field(primary_key=True)
    reached_at: datetime | None = None
    failing_since: datetime | None = None
    failed_at: datetime | None = None
