"""A primary fails and its standby takes over: one URL names both, and writes go to the writable one."""

from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import make_url

from orchestrator.rules.installation.secret_texts import redacted_url
from orchestrator.settings import Settings
from orchestrator.store.core.error_classes import ErrorClass
from orchestrator.store.database import Database, StoreOutage, StoreUnavailable
from tests.postgres import PostgresServer, Standby, postgres_server
from tests.servers import Postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def primary_url(primary: PostgresServer) -> str:
    """Return a migrated database on it."""
    return Postgres(primary.uri, durable=True).kept_database()


@pytest.fixture
def standby(primary: PostgresServer, primary_url: str) -> Iterator[PostgresServer]:
    with postgres_server(partial(Standby, primary=primary)) as running:
        yield running


@pytest.fixture
def database(primary: PostgresServer, standby: PostgresServer, primary_url: str) -> Iterator[Database]:
    """Return the database by a URL that names both, as an operator writes it."""
    name = make_url(primary_url).database
    hosts = f"host={primary.socket.parent}&host={standby.socket.parent}"
    settings = Settings(
        database_url=f"postgresql://postgres:hidden@/{name}?{hosts}&target_session_attrs=read-write"
    )
    assert "hidden" not in redacted_url(settings.database_url)
    database = Database(settings.database_url)
    yield database
    database.dispose()


def holder_seen(database: Database, name: str) -> bool:
    with database.reading() as tx:
        return tx.leases.last_seen(name) is not None


def test_writes_go_to_the_standby_once_it_is_promoted(
    primary: PostgresServer, standby: PostgresServer, database: Database
) -> None:
    database.transact(lambda tx: tx.leases.hold("before", "me", tx.now(), 5))
    primary.stop()

    with pytest.raises(StoreOutage) as outage:
        database.prove_writes()
    assert outage.value.meaning is ErrorClass.READ_ONLY, "one host is down and the other is a standby"
    with pytest.raises(StoreUnavailable, match="a failover in progress") as reported:
        database.check_writes()
    assert "hidden" not in str(reported.value)

    standby.promote()
    database.prove_writes()
    assert holder_seen(database, "before"), "what was committed before is there"


def test_a_url_that_names_only_a_standby_says_so(standby: PostgresServer, primary_url: str) -> None:
    url = make_url(primary_url).set(query={"host": str(standby.socket.parent)})
    database = Database(url.render_as_string(hide_password=False))
    database.check()
    with pytest.raises(StoreUnavailable, match=r"read-only .* the URL names a standby"):
        database.check_writes()
    standby.promote()
    database.check_writes()
    database.dispose()
