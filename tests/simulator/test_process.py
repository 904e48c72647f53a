"""The simulator as a process of its own."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import httpx
import pytest

from orchestrator.simulator import BadInput, SimulatorServer, run

COMMAND = [sys.executable, "-m", "orchestrator.simulator"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_leaves_when_told(tmp_path: Path, number: signal.Signals) -> None:
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


def test_hundreds_of_slow_calls_wait_side_by_side(server: SimulatorServer, openai_url: str) -> None:
    """Both ends of each are files of this process, which may have 1,024."""
    server.fault("slow", seconds=0.2, operation="models")
    statuses = asyncio.run(_ask_at_once(f"{openai_url}/models", 400))
    assert statuses == [200] * 400
    assert len(server.log(operation="models", status=200)) == 400


async def _ask_at_once(url: str, times: int) -> list[int]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http:
        return await asyncio.gather(*(_ask(http, url) for _ in range(times)))


async def _ask(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(url, headers={"Authorization": "Bearer sk-one"}) as answer:
        await answer.read()
        return answer.status
