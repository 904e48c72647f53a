"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import JSON, BigInteger, Column, Float, String, Table

from orchestrator.store.core.columns import Money, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "minutes",
    metadata,
    Column("minute", UtcDateTime, primary_key=True),
    Column("provider", String, primary_key=True),
    Column("pings_alive", BigInteger),
    Column("pings_throttled", BigInteger),
    Column("pings_loading", BigInteger),
    Column("pings_transient", BigInteger),
    Column("pings_gone", BigInteger),
    Column("pings_credentials", BigInteger),
    Column("pings_out_of_balance", BigInteger),
    Column("pings_misconfigured", BigInteger),
    Column("ping_ms", BigInteger),
    Column("ping_most_ms", BigInteger),
    Column("tokens", BigInteger),
    Column("cost_usd", Money),
    Column("began_running", BigInteger),
    Column("until_running_ms", BigInteger),
    Column("until_running_most_ms", BigInteger),
    Column("sampled_at", UtcDateTime),
    Column("sessions", JSON(none_as_null=True)),
    Column("unproven", BigInteger),
    Column("at_risk", JSON(none_as_null=True)),
    Column("burning", JSON(none_as_null=True)),
    Column("overdue_seconds", Float),
    Column("opened", BigInteger),
    Column("not_opened", BigInteger),
    Column("closed", BigInteger),
    Column("close_lag_ms", BigInteger),
    Column("close_lag_most_ms", BigInteger),
)
