"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import JSON, Boolean, Column, Integer, String, Table

from orchestrator.rules.states import PlacementState, Step
from orchestrator.rules.values.models import ModelType
from orchestrator.rules.values.placements import RefusedBy
from orchestrator.store.core.columns import AttachJson, EnumText, Money, UtcDateTime
from orchestrator.store.plain import metadata

TABLE = Table(
    "placements",
    metadata,
    Column("id", String, primary_key=True),
    Column("session_id", String),
    Column("account_id", String),
    Column("n", Integer),
    Column("provider", String),
    Column("credential", String),
    Column("fingerprint", String),
    Column("exclusive", Boolean),
    Column("serialised", Boolean),
    Column("model_id", String),
    Column("provider_model_id", String),
    Column("model_type", EnumText(ModelType)),
    Column("nodes", Integer),
    Column("price_per_node_hour", Money),
    Column("currency", String),
    Column("state", EnumText(PlacementState)),
    Column("options", JSON),
    Column("attach", AttachJson),
    Column("duration_seconds", Integer),
    Column("handle", String),
    Column("candidate", String),
    Column("endpoint_url", String),
    Column("endpoint_model", String),
    Column("endpoint_auth", String),
    Column("secret_ref", String),
    Column("created_at", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("freed_at", UtcDateTime),
    Column("opened_at", UtcDateTime),
    Column("declared_end_at", UtcDateTime),
    Column("closing_since", UtcDateTime),
    Column("lost_at", UtcDateTime),
    Column("unproven_since", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("proof", String),
    Column("last_answer", String),
    Column("refused_by", EnumText(RefusedBy)),
    Column("possible_orphans", Boolean),
    Column("orphans_at_most", Integer),
    Column("forced_at", UtcDateTime),
    Column("forced_by", String),
    Column("forced_why", String),
    Column("ping_variant", String),
    Column("asleep_since", UtcDateTime),
    Column("next_step", EnumText(Step)),
    Column("next_step_at", UtcDateTime),
    Column("lease_token", String),
    Column("lease_until", UtcDateTime),
    Column("attempts", Integer),
    Column("revision", Integer),
)
