"""The command as a process: how it starts, and how it is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cli.conftest import Cli
from tests.world import World

ORCHESTRATOR = [sys.executable, "-m", "orchestrator"]


def test_help_is_there_without_the_heavy_libraries() -> None:
    code = (
        "import sys\nfrom orchestrator.cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('celery', 'sqlalchemy', 'aiohttp', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "session" in done.stdout


def test_the_version_is_told() -> None:
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
            process.kill()  # or the `with` waits for it for ever


def test_a_reader_that_leaves_is_no_failure_to_shout_about(cli: Cli, world: World) -> None:
    for _ in range(3):
        world.done("account.credit", account_id="acme", amount="1", currency="USD", key=os.urandom(4).hex())
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*ORCHESTRATOR, "events", "--json"],
        check=False,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(write)
    assert done.stderr == ""


def test_the_simulator_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
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
