"""The base of all tables: names of constraints that migrations can rely on."""

from typing import Any

from sqlalchemy import Column, Table, event
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import UTCDateTime

from orchestrator.store.core.columns import Instant


class Row(SQLModel):
    """The base class of every table. It sets the naming of constraints before the first table is made."""


metadata = Row.metadata
metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


@event.listens_for(Column, "after_parent_attach")
def _read_instants_fast(column: Column[Any], table: Table) -> None:
    """Give columns of times their type: SQLModel has chosen its own, of which `Instant` is a kind."""
    if type(column.type) is UTCDateTime and table.metadata is metadata:
        column.type = Instant()
