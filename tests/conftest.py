"""Fixtures of all tests: real servers, databases on both engines, and a small world."""

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests import families, servers, shares
from tests.families import pytest_ignore_collect, pytest_itemcollected
from tests.world import World

__all__ = ["pytest_ignore_collect", "pytest_itemcollected"]

settings.register_profile("patient", deadline=None)  # a busy machine says nothing about a rule
settings.load_profile("patient")

#: A shell that starts the suite in the background has Ctrl-C ignored, and every process of a test would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """See `tests.shares`."""
    shares.add_options(parser)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run this turn's share. Begin with the tests that may take longest, so that no core waits for them at the end."""
    shares.keep_share(config, items)
    items.sort(key=_turn_of)


def _turn_of(item: pytest.Item) -> tuple[bool, float, int]:
    family = families.family_of(item.path)
    return family != "long", -_seconds_allowed(item), families.FAMILIES.index(family)


def _seconds_allowed(item: pytest.Item) -> float:
    timeout = item.get_closest_marker("timeout")
    return float(timeout.args[0]) if timeout else 0.0


@pytest.fixture(autouse=True)
def logs_as_they_begin() -> None:
    """Undo what an earlier test left behind: a Celery worker in this process raises the level of the root logger, and
    simulated days switch logging off."""
    logging.disable(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """Start a real PostgreSQL, once."""
    with servers.postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: servers.Postgres) -> Iterator[str]:
    """Return the URL of a fresh, migrated database on it."""
    with postgres.fresh_database() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a migrated SQLite file to copy from."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    database.dispose()  # the last connection to leave empties the write-ahead log into the file
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """Return the URL of a fresh, migrated SQLite database."""
    path = tmp_path / "orchestrator.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Run the same test on both databases."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def valkey_url(tmp_path: Path) -> Iterator[str]:
    """Start a real Redis protocol server for this test alone."""
    with servers.valkey(tmp_path / "valkey") as url:
        yield url


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    """Return the small world, on SQLite."""
    with World(sqlite_url) as world:
        yield world
