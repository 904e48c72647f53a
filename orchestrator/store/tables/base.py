"""What all tables share: names of constraints that migrations can rely on."""

from sqlmodel import SQLModel


class Row(SQLModel):
    """What every table inherits, so that the names below are set before the first of them is made."""


metadata = Row.metadata
metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
