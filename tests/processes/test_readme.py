"""The README's way from nothing to a session that ran and stopped, with the command line and with curl alone."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.processes.test_api import free_port
from tests.waiting import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: Seconds for everything, on a machine that does much else.
WAIT_LIMIT = 240.0


#: The other models of the catalog run too, and each provider's check finds nothing wrong: a fault ends the script.
EVERY_MODEL = """
orchestrator session create --account acme --model qwen-2.5-7b --max-duration 10m --wait-running 90
orchestrator provider check endpoint
orchestrator provider check gateway
"""


def commands(heading: str) -> str:
    """Return the commands below this heading."""
    section = (ROOT / "README.md").read_text().split(f"### {heading}\n")[1].split("\n### ")[0]
    found = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.mark.timeout(WAIT_LIMIT + 60)
def test_a_newcomer_creates_watches_extends_and_closes_a_session(tmp_path: Path) -> None:
    assert shutil.which("curl"), "this test needs curl: .ci/install installs it"
    ports = {"8900": str(free_port()), "8800": str(free_port())}
    script = (
        f"{commands('1. Run it on a laptop')}{{\n{commands('2. Enqueue from another service')}}} > answers\n"
        f"{EVERY_MODEL}"
    )
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    laptop = tmp_path / "deploy" / "laptop.toml"
    for usual, free in ports.items():
        script = script.replace(usual, free)
        laptop.write_text(laptop.read_text().replace(usual, free))
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "ORCHESTRATOR_API_PORT": ports["8800"],
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
    }
    run_script(script, tmp_path, env)
    created, running, endpoint, extended, closing, stopped, history = _answers(tmp_path / "answers")
    assert [one["state"] for one in (running, closing, stopped)] == ["running", "stopping", "stopped"]
    assert created["id"] == running["id"] == "first"
    assert endpoint["url"].startswith("http://127.0.0.1:")
    assert extended["stop_at"] > running["stop_at"]
    happened = [one["type"].rpartition(".")[2] for one in history["items"]]
    assert happened == ["created", "starting", "running", "changed", "stopping", "stopped"]


def run_script(script: str, directory: Path, env: dict[str, str]) -> None:
    """Run the commands one after the other; end what they have left in the background."""
    log = directory / "said.log"
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-euc", script],
            cwd=directory,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        assert shell.wait(WAIT_LIMIT) == 0, log.read_text()[-3000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
        eventually(lambda: not _live(shell.pid), "everything has ended")


def _answers(path: Path) -> list[Any]:
    """Return the JSON values of a file, in which they follow each other."""
    text, found, decoder = path.read_text(), [], json.JSONDecoder()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def _live(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False
