"""The tables as queries name them: columns and their types, and nothing else, one module for each table.

`python -m tests.tools.plain_tables` writes them from the SQLModel classes in `store/tables`, which say all of the
schema: constraints, indexes and triggers too. Those cannot be imported without SQLModel, pydantic and SQLAlchemy's ORM,
so only migrations do; a command that reads three tables imports three modules of this package."""

from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

from sqlalchemy import MetaData, Table

metadata = MetaData()


def table_of(name: str) -> Table:
    """Return the table of this name."""
    table: Table = import_module(f"{__name__}.{name}").TABLE
    return table


def all_tables() -> Sequence[Table]:
    """Return every table, by name."""
    return [table_of(module.name) for module in iter_modules(__path__)]
