"""Alembic's environment: it is always given a connection by `store.migrate`."""

from typing import Any

from alembic import context
from alembic.operations import Operations
from alembic.operations.ops import CreateIndexOp
from sqlalchemy import inspect

from orchestrator.store.tables import metadata

connection = context.config.attributes["connection"]
say = context.config.attributes["say"]
was_there = frozenset(inspect(connection).get_table_names())


@Operations.implementation_for(CreateIndexOp, replace=True)
def create_index(operations: Operations, operation: CreateIndexOp) -> None:
    """Leave out an index of a table that old workers use: `store.migrate` builds it afterwards, concurrently."""
    if connection.dialect.name == "postgresql" and operation.table_name in was_there:
        return
    operations.impl.create_index(operation.to_index(operations.migration_context))


def log_step(*, step: Any, **_: Any) -> None:
    """Print each migration's first line."""
    if step.is_upgrade:
        say(f"{step.up_revision_id}: {step.up_revision.doc.splitlines()[0]}")


context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
    on_version_apply=log_step,  # type: ignore[arg-type]  # it is called with keywords only
)
with context.begin_transaction():
    context.run_migrations()
