"""Dump all that the store holds, for comparison."""

from typing import Any

from orchestrator.store.tables import metadata
from tests.world import World


def dump(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table but the inbox, which keeps refusals too."""
    with world.services.database.reading() as tx:
        return {
            table.name: sorted((tuple(row) for row in tx.connection.execute(table.select())), key=repr)
            for table in metadata.sorted_tables
            if table.name != "inbox"
        }
