"""Platforms of real processes: each test makes its own; when it fails, the ends of their logs are shown."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.processes.nursery import Nursery
from tests.processes.platform import Platform

pytestmark = pytest.mark.slow

PlatformOn: TypeAlias = Callable[..., Platform]
_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember whether the test failed, for its cleanup."""
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        item.stash[_failed] = True
    return report


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Return a process that imports once for all tests."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def platform_on(request: pytest.FixtureRequest, nursery: Nursery, tmp_path: Path) -> Iterator[PlatformOn]:
    """Return a function that makes a platform on a database and a broker, and closes it after the test."""
    with ExitStack() as stack:

        def make(database_url: str, broker_url: str | None = None) -> Platform:
            platform = Platform(
                tmp_path / "platform", nursery, database_url=database_url, broker_url=broker_url
            )
            stack.callback(_show, request, platform)
            return stack.enter_context(platform)

        yield make


@pytest.fixture
def platform(postgres_url: str, valkey_url: str, platform_on: PlatformOn) -> Platform:
    """Return a platform on PostgreSQL and a Redis protocol server."""
    return platform_on(postgres_url, valkey_url)


def _show(request: pytest.FixtureRequest, platform: Platform) -> None:
    if request.node.stash.get(_failed, False):
        for name, tail in platform.tails():
            sys.stderr.write(f"--- {name}\n{tail}\n")
