"""Bring a database to the newest schema, from inside the package: `orchestrator migrate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from orchestrator.store.database import Database
from orchestrator.store.tables import metadata

_HERE = Path(__file__).parent / "migrations"
#: Two processes that migrate at once take turns on this PostgreSQL advisory lock.
_LOCK = 7_264_310_552


def upgrade(database: Database, revision: str = "head") -> str:
    """Run every migration that is missing, in one transaction; return the revision reached."""
    with database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        command.upgrade(_config(connection), revision)
        return current(connection) or ""


def current(connection: Connection) -> str | None:
    """The revision that the database is at; None where it was never migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The revision that this code wants."""
    head = ScriptDirectory(str(_HERE)).get_current_head()
    assert head is not None
    return head


def drift(database: Database) -> Sequence[Any]:
    """How the migrated schema differs from the tables in code; empty when they agree."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.attributes["connection"] = connection
    return config
