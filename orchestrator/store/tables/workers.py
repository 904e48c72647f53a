"""The processes of the platform; each keeps its own row."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from orchestrator.store.tables.base import Row


class WorkerRow(Row, table=True):
    """One process: its kind, and when it last did what."""

    __tablename__ = "workers"
    __table_args__ = (Index("ix_workers_seen", "seen_at"),)

    id: str = Field(primary_key=True)
    kind: str
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    clock_offset_seconds: float
    restarts: int
    last_wake_up_at: datetime | None = None
    last_claim_at: datetime | None = None
    last_sent_at: datetime | None = None
    last_fault: str | None = None
