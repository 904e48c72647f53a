"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import JSON, BigInteger, Column, Float, Integer, String, Table

from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "clock",
    metadata,
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime),
    Column("boot", String),
    Column("boot_seconds", Float),
    Column("beats", BigInteger),
    Column("jumped_at", UtcDateTime),
    Column("correction_microseconds", BigInteger),
    Column("seen_by", String),
    Column("accepted", Integer),
    Column("corrected_at", UtcDateTime),
    Column("shift_microseconds", BigInteger),
    Column("correct_at", UtcDateTime),
    Column("others", JSON),
)
