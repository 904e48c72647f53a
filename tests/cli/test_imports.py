"""Commands start quickly: each imports what it needs, and no more."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_closed_pipes import PROCESSES, commands
from tests.world import World

pytestmark = pytest.mark.slow

#: What no command that only reads rows needs; of PostgreSQL's driver, on SQLite.
FORBIDDEN = (
    "aiohttp",
    "alembic",
    "apscheduler",
    "celery",
    "fastapi",
    "httpx",
    "kombu",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "redis",
    "sqlalchemy.orm",
    "sqlmodel",
    "uvicorn",
    "orchestrator.api",
    "orchestrator.providers.drivers",
    "orchestrator.tasks",
    "orchestrator.wiring",
)
#: They write by jobs or by themselves, ask platforms, or read the configuration, which is checked with the drivers.
MORE = {
    *("account put", "account credit", "account debit", "account show", "account forecast", "model put"),
    *("session create", "session start", "session close", "session extend", "session ping", "session delete"),
    *("session explain", "provider list", "provider check", "provider release-brake", "messages drop"),
    *("costs export", "account budget", "messages resend", "clock accept", "token create", "token revoke"),
    *("webhook put", "webhook delete", "webhook test", "webhook replay"),
    *("policy try", "config diff"),
    *("apply", "migrate", "audit", "doctor", "reconcile"),
}
#: What workers and schedulers import on no account: schema and formats that only commands use, installed extras.
UNUSED = ("alembic", "opentelemetry", "pygments", "rich", "sqlalchemy.orm", "sqlmodel", "yaml")
#: They print schemas, or import the classes of the configuration.
BY_MODELS = (
    *("init", "jobs schema"),
    *("session show", "session endpoint", "account ledger", "webhook list"),
)
#: Runs each command in a fork of a process that has imported the tables' library; prints what else it imported.
MOTHER = """
import contextlib, io, json, os, sys
import rich.table, rich.text, sqlalchemy, orchestrator.cli.tree
import orchestrator.store.database, orchestrator.store.queries.pages
from orchestrator.cli.main import main

arguments, forbidden = json.load(sys.stdin)
for words in arguments:
    if not os.fork():
        sys.argv = ["orchestrator", *words]
        quiet = contextlib.redirect_stdout(io.StringIO())
        code = 0
        with quiet:
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        there = [name for name in forbidden if name in sys.modules]
        print(json.dumps([" ".join(words), code, there]), flush=True)
        os._exit(0)
    os.wait()
"""


def readers() -> Iterator[list[str]]:
    """Yield every command that only reads rows."""
    for words in commands():
        known = [" ".join(words[:n]) for n in (1, 2)]
        if not {"--help", "--version", "--follow"} & {*words} and not {*known} & {*MORE, *PROCESSES}:
            yield words


def test_a_command_that_reads_rows_imports_no_driver_and_no_broker(
    cli: Cli, world: World, tmp_path: Path
) -> None:
    world.run_session("moral", session_id="a-session")
    wanted = list(readers())
    assert {"session list", "session show", "account ledger", "model list", "events"} <= {
        name for words in wanted for name in (words[0], " ".join(words[:2]))
    }
    found = ran(MOTHER, [wanted, FORBIDDEN], tmp_path)
    assert len(found) == len(wanted)
    assert [words for words, code, _ in found if code not in {0, None, 1}] == []
    assert {words: there for words, _, there in found if {*there} - _may_import(words)} == {}


def _may_import(words: str) -> set[str]:
    return {"pydantic"} if words.startswith(tuple(BY_MODELS)) else set()


def test_the_version_is_told_without_typer_or_the_metadata_of_distributions() -> None:
    code = (
        "import sys\nsys.argv = ['orchestrator', '--version']\nfrom orchestrator.cli.main import main\nmain()\n"
        "print([m for m in ('typer', 'email', 'json', 'importlib.metadata', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["session", "worker", "api"])
def test_a_command_imports_none_of_the_others(name: str) -> None:
    code = (
        f"import sys\nfrom orchestrator.cli.tree import app\n"
        f"try: app(['{name}', '--help'])\nexcept SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.startswith('orchestrator.cli.commands.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    imported = done.stdout.splitlines()[-1]
    assert "accounts" not in imported
    assert "tokens" not in imported


def test_the_scheduler_imports_no_flow_and_no_http_client() -> None:
    left_out = ("aiohttp", "httpx", "fastapi", "orchestrator.flows", "orchestrator.providers", *UNUSED)
    assert imported("orchestrator.processes.run_scheduler", left_out) == "[]"


def test_a_worker_imports_no_part_of_a_library_that_it_does_not_use() -> None:
    assert imported("orchestrator.processes.run", UNUSED) == "[]"


def imported(module: str, names: Sequence[str]) -> str:
    """Return which of the names are imported with a module of processes that run for long."""
    code = (
        "import sys\nfrom orchestrator.processes.left_out import without_unused_parts\n"
        f"with without_unused_parts(): import {module}\n"
        "import celery.backends.redis, kombu.transport.redis, redis\n"
        f"print([m for m in {tuple(names)} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


def test_what_is_left_out_is_found_later() -> None:
    code = (
        "from orchestrator.processes.left_out import without_unused_parts\n"
        "with without_unused_parts(): import structlog, redis\n"
        "import opentelemetry.trace, rich.console\nprint('found')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "found\n"


def ran(program: str, given: Sequence[Any], directory: Path) -> Sequence[Any]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=directory,  # `init` writes there
        env={name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
    )
    lines: list[Mapping[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    return lines
