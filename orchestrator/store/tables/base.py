"""The base of all tables: names of constraints that migrations can rely on."""

from sqlmodel import SQLModel


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
