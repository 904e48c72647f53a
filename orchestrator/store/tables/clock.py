"""What all processes know of the time."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, text
from sqlmodel import Field

from orchestrator.store.tables.base import Row


class ClockRow(Row, table=True):
    """The fields of `rules.installation.clock.KnownTime`, spans in microseconds; there is one row."""

    __tablename__ = "clock"

    n: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime
    boot: str
    boot_seconds: float
    beats: int = Field(sa_column=Column(BigInteger, nullable=False))
    jumped_at: datetime | None = None
    correction_microseconds: int = Field(sa_column=Column(BigInteger, nullable=False))
    seen_by: str
    accepted: int
    corrected_at: datetime | None = None
    shift_microseconds: int = Field(sa_column=Column(BigInteger, nullable=False))
    correct_at: datetime | None = None
    others: list[dict[str, Any]] = Field(sa_column=Column(JSON, nullable=False, server_default=text("'[]'")))
