"""Escape sequences planted in every text of the database: no command lets one reach an operator's terminal.

Jobs, catalog files and drivers refuse or clean such texts; rows written by an older release may hold them all the
same. So they are planted in the rows themselves, and each reading command is read through a pseudo-terminal."""

import json
import os
import pty
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import Column, Connection, Table, delete, update
from sqlmodel.sql.sqltypes import AutoString

from orchestrator.cli.tree import app
from orchestrator.client.parsing import parse
from orchestrator.client.requests import JOBS
from orchestrator.flows.operations.parked_messages import park
from orchestrator.flows.operations.tokens import create_token
from orchestrator.rules.installation.messages import ParkedMessage
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.values import Scope
from orchestrator.store.tables import metadata
from tests.cli.conftest import Cli
from tests.cli.test_closed_pipes import ARGUMENTS, commands
from tests.world import MINUTE, START, World

pytestmark = pytest.mark.slow

#: A word to find, between sequences that clear a screen, set a title, reverse a line, and begin a sequence in one byte.
PLANT = "\x1b[2J\x1b]0;owned\x07PLANTED\u202e\x9b1m\r\u2028"
#: Sequences that must not arrive. Colours may, and the redraw of a line of progress.
FORBIDDEN = re.compile("\x1b\\[2J|\x1b\\]|\x07|\u202e|\x9b|\u2028|\r(?!\n|\x1b\\[(2K|1A))")
#: Columns with texts that are compared or looked up: with another value the row would be another one.
KEYS = re.compile(
    r"(^|_)(id|ids|n|token|scope|kind|name|credential|provider|fingerprint|currency|plan|holder)$"
    r"|ref$|^next_|auth|revision|digest"
)
#: Commands beside those of the tree with what they need.
OTHERS = (
    "session list --unproven",
    "session list --forced",
    "session show {stopped}",
    "costs --by model",
    "costs --account acme --json",
    "account ledger acme --csv",
    "webhook list --dead",
    "audit --full",
)


#: A message of another program, and a catalog file, that hold the plant wherever they may hold a text.
PARKED = ParkedMessage(
    id="msg-1",
    parked_at=START,
    queue="orchestrator.jobs",
    reason="r",
    task="t",
    task_id="i",
    size=1,
    head="h",
)
_QUOTED = json.dumps(PLANT)
CATALOG = f"""
{_QUOTED} = 1
[[models]]
id = {_QUOTED}
provider = {_QUOTED}
tags = [{_QUOTED}]
{_QUOTED} = {_QUOTED}
[[accounts]]
id = {_QUOTED}
plan = {_QUOTED}
balance = {_QUOTED}
"""


def _texts(table: Table) -> Iterator[Column[Any]]:
    for column in table.columns:
        plain = isinstance(column.type, AutoString) and not column.primary_key and not column.foreign_keys
        if plain and (not KEYS.search(column.name) or (table.name, column.name) == ("sessions", "name")):
            yield column


def _plant(connection: Connection) -> int:
    """Append the plant to every text, and put it into every JSON object; return how many columns have it."""
    triggers = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars()
    for trigger in list(triggers):  # the ledger refuses every change
        connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
    planted = 0
    for table in metadata.sorted_tables:
        for column in _texts(table):
            connection.execute(update(table).where(column.is_not(None)).values({column.name: column + PLANT}))
            planted += 1
    sessions, outbox = metadata.tables["sessions"], metadata.tables["outbox"]
    connection.execute(update(sessions).values(metadata={PLANT: [PLANT]}))
    connection.execute(update(outbox).values(data=_with_plant))
    return planted


_with_plant: Mapping[str, Any] = {"reason": PLANT, "detail": PLANT, "name": PLANT, "account_id": PLANT}


class Terminal:
    """Standard output and error of this process as a pseudo-terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._main, side = pty.openpty()
        self._file = os.fdopen(side, "w", encoding="utf-8", errors="surrogateescape")
        self._read = bytearray()
        self._reader = threading.Thread(target=self._drain)
        self._reader.start()
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, self._file)

    def _drain(self) -> None:
        while True:
            try:
                self._read += os.read(self._main, 65536)
            except OSError:  # the other end is closed
                return

    def close(self) -> str:
        self._file.close()
        self._reader.join()
        os.close(self._main)
        return self._read.decode("utf-8", errors="replace")


def _shown(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    with monkeypatch.context() as patched:
        patched.setenv("TERM", "xterm-256color")
        patched.setenv("COLUMNS", "200")
        terminal = Terminal(patched)
        try:
            app(command.split())
        except (SystemExit, click.exceptions.Exit):
            pass
        finally:
            shown = terminal.close()
    return shown


def _every_command(session: str) -> list[str]:
    """Return every command of the tree that ends by itself."""
    words = [" ".join(one) for one in commands({**ARGUMENTS, "session_id": (session,)})]
    return [one for one in words if "--follow" not in one and "--help" not in one]


def test_no_command_lets_a_planted_escape_through(
    cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    session = world.run_session(name="first", description="about it", stop={"max_duration_seconds": 7200})
    stopped = world.run_session("moral", name="second")
    world.done("session.close", session_id=stopped, reason="operator", detail="maintenance")
    world.pass_time(MINUTE)
    create_token(world.services.database, "third", {Scope.READ})
    world.services.database.transact(lambda tx: park(tx, [PARKED]))
    (tmp_path / "catalog.toml").write_text(CATALOG)
    with world.services.database.engine.begin() as connection:
        assert _plant(connection) > 25
    seen = 0
    for command in [*_every_command(session), *OTHERS]:
        shown = _shown(command.format(session=session, stopped=stopped), monkeypatch)
        _check(command, shown)
        seen += "PLANTED" in shown
    assert seen > 20, "many show a planted text"
    with world.services.database.engine.begin() as connection:
        connection.execute(delete(metadata.tables["outbox"]))  # the world checks the events that are left


def _check(command: str, shown: str) -> None:
    assert shown, command
    found = FORBIDDEN.search(shown)
    assert found is None, (command, shown[max(0, found.start() - 80) : found.end() + 80])


class _Planted(BaseHTTPRequestHandler):
    """A platform whose every answer holds the plant."""

    status: int
    content: Any

    def do_GET(self) -> None:
        body = json.dumps(self.content).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, {"data": [{"id": PLANT, "status": PLANT, "created": PLANT}], "error": PLANT}),
        (400, {"error": {"message": PLANT, "code": PLANT}}),
        (401, {"detail": PLANT}),
        (404, {PLANT: PLANT}),
        (500, PLANT),
    ],
)
@pytest.mark.parametrize("provider", ["alpha", "morph"])
@pytest.mark.usefixtures("cli", "world")
def test_no_answer_of_a_platform_lets_an_escape_through(
    provider: str, status: int, content: Any, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = type("Planted", (_Planted,), {"status": status, "content": content})
    with ThreadingHTTPServer(("127.0.0.1", 0), planted) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        config.write_text(config.read_text().replace("127.0.0.1:9", f"127.0.0.1:{server.server_port}"))
        for command in (
            f"provider check {provider}",
            f"provider check {provider} --json",
            "reconcile",
            "doctor",
        ):
            _check(command, _shown(command, monkeypatch))
        server.shutdown()
        thread.join()


SAMPLES: Mapping[str, dict[str, Any]] = {
    "orchestrator.session.create": {
        "account_id": "acme",
        "model_id": "llama",
        "name": "first",
        "session_id": "s-1",
        "description": "about",
        "on_quota": "reject",
        "provider_options": {"bid_id": "0x1"},
        "provider": "alpha",
        "credential": "env:KEY",
        "attach": {
            "endpoint_url": "https://h/v1",
            "secret_ref": "env:KEY",
            "model": "m",
            "ends_at": "2026-01-01T00:00:00Z",
        },
        "metadata": {"team": "red", "deep": [{"a": "b"}]},
    },
    "orchestrator.session.start": {"session_id": "s-1", "on_quota": "queue"},
    "orchestrator.session.close": {
        "session_id": "s-1",
        "reason": "operator",
        "detail": "why",
        "by": "who",
        "force": True,
    },
    "orchestrator.session.extend": {"session_id": "s-1", "max_cost": "1.00"},
    "orchestrator.session.ping": {"session_id": "s-1"},
    "orchestrator.session.delete": {"session_id": "s-1"},
    "orchestrator.session.record_interactions": {
        "batch": [{"session_id": "s-1", "count": 1, "at": "2026-01-01T00:00:00Z"}]
    },
    "orchestrator.account.put": {"account_id": "acme", "plan": "payg", "currency": "USD"},
    "orchestrator.account.credit": {"account_id": "acme", "amount": "1", "currency": "USD", "key": "k"},
    "orchestrator.account.budget": {"account_id": "acme", "period": "day", "amount": "1", "currency": "USD"},
    "orchestrator.account.debit": {
        "account_id": "acme",
        "amount": "1",
        "currency": "USD",
        "key": "k",
        "reason": "mistyped",
        "author": "ops",
    },
    "orchestrator.model.put": {
        "id": "llama",
        "providers": ["alpha"],
        "provider_model_ids": {"alpha": "m"},
        "type": "LLM",
        "size": "8B",
        "learning_stage": "Instruction-tuned",
        "source": "private",
        "owner": "acme",
        "files_uploaded": True,
        "tags": ["ready"],
        "price_per_node_hour": "1.20",
        "currency": "USD",
    },
    "orchestrator.session.get": {"session_id": "s-1"},
    "orchestrator.session.list": {
        "account_id": "acme",
        "provider": "alpha",
        "model_id": "llama",
        "name": "first",
        "state": ["running"],
        "since": "2026-01-01T00:00:00Z",
        "after": "MTIz",
    },
    "orchestrator.account.get": {"account_id": "acme"},
}


def _planted(value: Any, plant: str) -> Iterator[Any]:
    """Yield the same value with one of its texts, or keys, planted."""
    match value:
        case str():
            yield value[:1] + plant + value[1:]
        case dict():
            for key, below in value.items():
                yield from ({**value, key: one} for one in _planted(below, plant))
                if isinstance(below, str | list) and key in ("team", "deep"):
                    yield {**value, key + plant: below}
        case list():
            for n, below in enumerate(value):
                yield from ([*value[:n], one, *value[n + 1 :]] for one in _planted(below, plant))


def _is_refused(name: str, kwargs: dict[str, Any]) -> bool:
    try:
        parse(name, kwargs)
    except Refusal:
        return True
    return False


@pytest.mark.parametrize("name", sorted(JOBS))
def test_every_text_of_every_job_refuses_escapes(name: str) -> None:
    parse(name, SAMPLES[name])  # as it stands it is right
    for plant in ("\x1b[2J", "\u202e", "\x9b", "\x00", "\ud800", "\u2028"):
        tried = list(_planted(SAMPLES[name], plant))
        assert tried
        for kwargs in tried:
            assert _is_refused(name, kwargs), json.dumps(kwargs)
