"""The consumers of docs/events.md keep their tables right through restarts and duplicates."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.client.stream import EventStream, connect
from orchestrator.flows.operations.deliver_events import deliver_events
from orchestrator.flows.reports.cloud_events import cloud_event
from orchestrator.rules.values import Scope
from orchestrator.store.transaction import Transaction
from tests.api.stage import Api
from tests.waiting import eventually
from tests.world import MINUTE, World

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
Table = Mapping[str, tuple[str, str]]


def code(language: str) -> str:
    """Return the page's program in this language."""
    [block] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(block)


@contextmanager
def running(*command: str, **env: str) -> Iterator[None]:
    """Run a consumer, and kill it."""
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **env}, stderr=subprocess.PIPE)
    try:
        yield
        assert process.poll() is None, process.stderr and process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def lives(world: World, n: int) -> None:
    """Let sessions begin, end and vanish."""
    names = [f"{what}-{n}" for what in ("stays", "ends", "goes")]
    stays, ends, goes = (world.run_session(session_id=name, account_id="corp") for name in names)
    world.pass_time(MINUTE)
    for one in (ends, goes):
        world.done("session.close", session_id=one)
    world.settle()
    world.done("session.delete", session_id=goes)
    if n:
        world.done("session.close", session_id=stays)
        world.settle()


def truth(world: World) -> Table:
    """Return the sessions as they are."""

    def read(tx: Transaction) -> Table:
        rows = tx.sessions.listed(limit=1000)
        last = {one.subject: one.data for one in tx.outbox.tail(limit=10_000) if "charged" in one.data}
        return {one.id: (one.state.value, last[one.id]["charged"]) for one in rows}

    with world.services.database.reading() as tx:
        return read(tx)


def keeps_its_table(world: World, run: Callable[[], Any], table: Callable[[], Table], more: Any) -> None:
    """Run the consumer through lives of sessions. Kill it as it begins, and while it works."""
    world.open_account("corp", "contract", "1000")
    for n in range(3):
        with run():
            lives(world, n)
            more()
            if n == 1:
                eventually(lambda: len(table()) > 0, "it works")
    with run():
        eventually(lambda: table() == truth(world), "its table is right")


@pytest.fixture
def stream(valkey_url: str) -> Iterator[EventStream]:
    opened = connect(valkey_url)
    assert opened is not None
    yield opened
    opened.close()


def test_the_consumer_in_python_keeps_its_table_through_restarts_and_duplicates(
    world: World, valkey_url: str, stream: EventStream, tmp_path: Path
) -> None:
    program, file = tmp_path / "consumer.py", tmp_path / "table"
    program.write_text(code("python"))
    url = valkey_url.replace("redis+socket://", "unix://", 1)

    def more() -> None:
        deliver_events(world.services, [stream])
        with world.services.database.reading() as tx:  # some come again, after later ones
            stream.send([cloud_event(event) for event in tx.outbox.newest(limit=20)[:12]])

    def table() -> Table:
        with sqlite3.connect(file) as opened:
            rows = opened.execute("SELECT id, state, charged FROM sessions").fetchall()
        opened.close()
        return {one: (state, charged) for one, state, charged in rows}

    def run() -> Any:
        return running(sys.executable, str(program), BROKER_URL=url, TABLE=str(file))

    keeps_its_table(world, run, table, more)


def test_the_consumer_in_node_js_keeps_its_table_through_restarts(world: World, tmp_path: Path) -> None:
    assert shutil.which("node"), "this test needs Node.js: .ci/install installs it"
    program, file = tmp_path / "consumer.mjs", tmp_path / "table.json"
    program.write_text(code("js"))

    def table() -> Table:
        kept = json.loads(file.read_text())["sessions"] if file.exists() else {}
        return {one: (its["state"], its["charged"]) for one, its in kept.items()}

    with Api(world) as api:
        token = api.token(Scope.READ)

        def run() -> Any:
            return running("node", str(program), URL=api.url, TOKEN=token, TABLE=str(file))

        keeps_its_table(world, run, table, lambda: None)
