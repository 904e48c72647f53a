"""What all processes know of the time."""

from datetime import datetime

from sqlalchemy import BigInteger, Column
from sqlmodel import Field

from orchestrator.store.tables.base import Row


class ClockRow(Row, table=True):
    """The fields of `rules.clock.Known`, spans in microseconds; there is one row."""

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
