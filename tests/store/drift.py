"""The migrated schema beside the tables in code."""

from collections.abc import Sequence
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from orchestrator.store.database import Database
from orchestrator.store.tables import metadata


def drift(database: Database) -> Sequence[Any]:
    """Return how they differ; empty when they agree."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))
