"""A real PgBouncer in transaction mode, and databases behind it."""

from collections.abc import Iterator

import pytest

from orchestrator.store.database import Database
from tests.pooler.pgbouncer import PgBouncer, pgbouncer
from tests.servers import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def pooler(postgres: Postgres) -> Iterator[PgBouncer]:
    """Start it as Debian configures it: `options` at connect is refused."""
    with pgbouncer(postgres.uri) as running:
        yield running


@pytest.fixture(scope="session")
def silent_pooler(postgres: Postgres) -> Iterator[PgBouncer]:
    """Start a pooler that ignores `options`: it drops the timeouts silently."""
    with pgbouncer(postgres.uri, ignore_startup_parameters="options") as running:
        yield running


@pytest.fixture(params=["refuses options", "drops options"])
def pooled_url(request: pytest.FixtureRequest, postgres_url: str) -> str:
    """Return a fresh, migrated database behind either."""
    name = "pooler" if request.param == "refuses options" else "silent_pooler"
    running: PgBouncer = request.getfixturevalue(name)
    return running.in_front_of(postgres_url)


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[Database]:
    """Return that database, opened."""
    database = Database(pooled_url)
    yield database
    database.dispose()
