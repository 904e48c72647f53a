"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import Column, Integer, String, Table

from orchestrator.rules.states import Step
from orchestrator.rules.values.budgets import BudgetPeriod
from orchestrator.store.core.columns import Budgets, EnumText, Limits, Money, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "accounts",
    metadata,
    Column("id", String, primary_key=True),
    Column("plan", String),
    Column("currency", String),
    Column("balance", Money),
    Column("quota", Limits),
    Column("overdraft_limit", Money),
    Column("budgets", Budgets),
    Column("charged_under", Money),
    Column("funds_end_at", UtcDateTime),
    Column("funds_session_id", String),
    Column("funds_end_by", EnumText(BudgetPeriod)),
    Column("warned_seconds", Integer),
    Column("next_charge_at", UtcDateTime),
    Column("charging_since", UtcDateTime),
    Column("charged_up_to", String),
    Column("last_admitted_at", UtcDateTime),
    Column("next_step", EnumText(Step)),
    Column("next_step_at", UtcDateTime),
    Column("revision", Integer),
    Column("created_at", UtcDateTime),
)
