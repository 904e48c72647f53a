"""Written by `python -m tests.tools.plain_tables`."""

from sqlalchemy import JSON, Boolean, Column, Integer, String, Table

from orchestrator.rules.values.models import ModelSource, ModelType
from orchestrator.store.core.columns import EnumText, Money, StringTuple
from orchestrator.store.plain import metadata

TABLE = Table(
    "models",
    metadata,
    Column("id", String, primary_key=True),
    Column("providers", StringTuple),
    Column("provider_model_ids", JSON),
    Column("type", EnumText(ModelType)),
    Column("size", String),
    Column("learning_stage", String),
    Column("source", EnumText(ModelSource)),
    Column("owner", String),
    Column("files_uploaded", Boolean),
    Column("tags", StringTuple),
    Column("price_per_node_hour", Money),
    Column("currency", String),
    Column("max_duration_seconds", Integer),
    Column("max_interactions", Integer),
)
