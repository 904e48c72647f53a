"""The simulator as a separate process."""

import json
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from orchestrator.simulator import BadInput, SimulatorServer, run

COMMAND = [sys.executable, "-m", "orchestrator.simulator"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_leaves_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    preload, ready = tmp_path / "world.json", tmp_path / "ready"
    world = {
        "upstreams": {"alpha": {"kind": "openai", "keys": ["sk"], "models": ["llama"]}},
        "faults": [{"name": "error_before", "upstream": "alpha", "times": 1}],
    }
    preload.write_text(json.dumps(world))
    command = [*COMMAND, "--preload", str(preload), "--ready-file", str(ready)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = json.loads(process.stdout.readline())["url"]
        assert json.loads(ready.read_text()) == {"url": url}
        with httpx.Client(headers={"Authorization": "Bearer sk"}, trust_env=False) as http:
            assert [http.get(f"{url}/alpha/v1/models").status_code for _ in range(2)] == [500, 200]
        process.send_signal(number)
        assert process.wait(timeout=5) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--host", "0.0.0.0"], 2, "reached from elsewhere"),
        (["--preload", "/nonexistent.json"], 2, "cannot read"),
        (["--port", "many"], 2, "usage"),
    ],
)
def test_bad_arguments_end_it_in_plain_words(arguments: list[str], code: int, text: str) -> None:
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "world", ["[]", '{"upstream": {}}', '{"upstreams": []}', '{"faults": [{"name": "flood"}]}', "{"]
)
def test_a_bad_preload_file_is_refused(tmp_path: Path, world: str) -> None:
    preload = tmp_path / "world.json"
    preload.write_text(world)
    with pytest.raises(BadInput):
        run(preload=preload)


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="address already in use"):
            SimulatorServer(port=port).start()
        ended = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_a_thousand_slow_calls_wait_side_by_side(tmp_path: Path) -> None:
    """Each end is a separate process that may have 1,024 files, as an ordinary user's."""
    preload, times = tmp_path / "world.json", 1000
    world = {
        "upstreams": {"alpha": {"kind": "openai", "keys": ["sk"], "models": ["llama"]}},
        "faults": [{"name": "slow", "operation": "models", "params": {"seconds": 1}}],
    }
    preload.write_text(json.dumps(world))
    with subprocess.Popen([*COMMAND, "--preload", str(preload)], stdout=subprocess.PIPE, text=True) as server:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        asking = [sys.executable, "-c", ASK_AT_ONCE, f"{url}/alpha/v1/models", str(times), str(FILES)]
        asked = subprocess.run(asking, capture_output=True, text=True, check=False)
        with httpx.Client(trust_env=False) as http:
            calls = http.get(f"{url}/control/log", params={"operation": "models"}).json()
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
    assert asked.stdout.split() == ["200"] * times, asked.stderr[-2000:]
    assert [call["status"] for call in calls] == [200] * times


#: The limit of open files of an ordinary user's process.
FILES = 1024
ASK_AT_ONCE = """
import asyncio, resource, sys, aiohttp

async def ask(http, url):
    async with http.get(url, headers={"Authorization": "Bearer sk"}) as answer:
        await answer.read()
        return answer.status

async def ask_at_once(url, times):
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as http:
        return await asyncio.gather(*(ask(http, url) for _ in range(times)))

url, times, files = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
print(*asyncio.run(ask_at_once(url, times)))
"""
