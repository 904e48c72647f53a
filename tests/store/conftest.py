"""Databases with an account and a model in them."""

from collections.abc import Iterator

import pytest

from orchestrator.store.database import Database
from tests.emptying import empty
from tests.rules.builders import T0
from tests.servers import Postgres
from tests.store import stage


@pytest.fixture(scope="session")
def shared_postgres_url(postgres: Postgres) -> Iterator[str]:
    """Return one database for all tests that leave its schema alone; a new one for each would take most of their
    time."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture
def on_postgresql(shared_postgres_url: str) -> Iterator[Database]:
    """Return a database for what only PostgreSQL does: row locks, deadlocks, plans."""
    yield from _opened(shared_postgres_url)
    database = Database(shared_postgres_url)
    with database.engine.begin() as connection:
        empty(connection)
    database.dispose()


@pytest.fixture
def on_sqlite(sqlite_url: str) -> Iterator[Database]:
    """Return a database for what only SQLite does."""
    yield from _opened(sqlite_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """Run the same test on both databases. The clock is at T0."""
    opened: Database = request.getfixturevalue(f"on_{request.param}")
    return opened


def _opened(url: str) -> Iterator[Database]:
    database = Database(url, clock=lambda: T0)
    stage.stock(database)
    yield database
    database.dispose()
