"""The command line in this process, over a migrated SQLite file, with and without a worker behind it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestrator.cli.tree import app
from tests.over_celery import serving
from tests.world import World

#: A port without a listener.
NO_BROKER = "redis://:hidden-password@127.0.0.1:1/0"

CONFIG = """
[providers.alpha]
driver = "openai"
base_url = "http://127.0.0.1:9/v1"
credentials = ["env:ALPHA"]

[providers.morph]
driver = "morpheus"
base_url = "http://127.0.0.1:9/api/v1"
credentials = ["env:MORPH_1", "env:MORPH_2"]
max_in_flight = 7
"""


@dataclass(frozen=True)
class CliResult:
    """The output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., CliResult]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "orchestrator.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def cli(sqlite_url: str, config: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command to its end."""
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", str(config))
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", NO_BROKER)
    monkeypatch.setenv("ALPHA", "sk-alpha")
    monkeypatch.setenv("MORPH_1", "sk-morph-1")
    monkeypatch.setenv("MORPH_2", "sk-morph-2")
    monkeypatch.delenv("ORCHESTRATOR_RESULT_URL", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)  # what runs the tests may set it

    def run(*arguments: str) -> CliResult:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert "Traceback" not in result.stderr
        return CliResult(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def worker(cli: Cli, world: World, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Put the small world behind a real broker: jobs that are sent to it are performed there."""
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", valkey_url)
    with serving(world, valkey_url):
        yield world
