"""The command as a process: its start, and its end."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.world import World

pytestmark = pytest.mark.slow

ORCHESTRATOR = [sys.executable, "-m", "orchestrator"]


def test_help_is_there_without_the_heavy_libraries() -> None:
    code = (
        "import sys\nfrom orchestrator.cli.tree import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('celery', 'sqlalchemy', 'aiohttp', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "session" in done.stdout


def test_the_version_is_reported() -> None:
    done = subprocess.run(
        [*ORCHESTRATOR, "--version"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "orchestrator")


def test_following_prints_each_new_event_until_it_is_interrupted(cli: Cli, world: World) -> None:
    world.create_session(session_id="first")
    follow = [*ORCHESTRATOR, "events", "--follow", "--json", "--limit", "1"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert json.loads(process.stdout.readline())["subject"] == "first"
            world.create_session(session_id="second")
            assert json.loads(process.stdout.readline())["subject"] == "second"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
            assert process.stderr.read() == ""
        finally:
            process.kill()  # otherwise the `with` waits for it for ever


def test_the_simulator_serves_until_it_is_asked_to_stop(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with subprocess.Popen(
        [*ORCHESTRATOR, "simulator", "--ready-file", str(ready)], stdout=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert json.loads(ready.read_text())["url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_a_forecast_fits_a_terminal_of_a_hundred_columns(cli: Cli, world: World) -> None:
    session_id = world.run_session("moral", nodes=2, name="a-name-that-is-as-long-as-people-make-them" * 2)
    ours, its = pty.openpty()
    command = [*ORCHESTRATOR, "account", "forecast", "acme"]
    env = os.environ | {"COLUMNS": "100", "TERM": "xterm"}
    subprocess.run(command, check=True, stdout=its, stderr=its, env=env, timeout=60)
    os.close(its)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", "".join(_everything_from(ours))).splitlines()
    [row] = [line for line in lines if line.lstrip().startswith(session_id[:8])]
    assert all(word in row for word in ("running", "2.40", "max_duration"))
    assert max(map(len, lines)) <= 100
    assert "next block" in cli("account", "forecast", "acme").out, "a file has all"


def test_costs_fit_a_terminal_of_eighty_columns(cli: Cli, world: World) -> None:
    world.put_model("a-model-with-a-name-as-long-as-any", {"alpha": "llama-3"}, price_per_node_hour="123.45")
    world.run_session("a-model-with-a-name-as-long-as-any")
    ours, its = pty.openpty()
    command = [*ORCHESTRATOR, "costs", "--by", "model"]
    env = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    subprocess.run(command, check=True, stdout=its, stderr=its, env=env, timeout=60)
    os.close(its)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", "".join(_everything_from(ours))).splitlines()
    [row] = [line for line in lines if line.lstrip().startswith("a-model")]
    assert "123.45" in row
    assert max(map(len, lines)) <= 80


def _everything_from(terminal: int) -> Iterator[str]:
    with suppress(OSError):  # reading fails so once the other side is closed
        while True:
            yield os.read(terminal, 65536).decode()
    os.close(terminal)
