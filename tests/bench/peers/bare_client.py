"""The HTTP client alone: the request of a ping in a loop, with this many in flight.

    python -m tests.bench.peers.bare_client URL,URL IN_FLIGHT COUNT

Writes one line of JSON: requests, CPU-seconds and wall-clock seconds of the loop."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

#: What a ping sends.
BODY: dict[str, Any] = {
    "model": "llama-3",
    "messages": [{"role": "user", "content": "ping"}],
    "max_tokens": 16,
    "stream": False,
}
HEADERS = {"authorization": "Bearer sk-bench"}


def main(urls: Sequence[str], in_flight: int, count: int) -> dict[str, float]:
    """Send `count` requests and return what they took."""
    return asyncio.run(_measure([f"{url}/chat/completions" for url in urls], in_flight, count))


async def _measure(urls: Sequence[str], in_flight: int, count: int) -> dict[str, float]:
    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight))

    transport = AiohttpTransport(trust_env=False, client=session)
    async with httpx.AsyncClient(transport=transport, timeout=None, trust_env=False) as client:
        await _loop(client, urls, in_flight, min(2 * in_flight, count))  # the connections are opened before
        cpu, wall = time.process_time(), time.perf_counter()
        await _loop(client, urls, in_flight, count)
        return {"count": count, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


async def _loop(client: httpx.AsyncClient, urls: Sequence[str], in_flight: int, count: int) -> None:
    left = iter(range(count))

    async def one() -> None:
        for n in left:
            answer = await client.post(urls[n % len(urls)], json=BODY, headers=HEADERS)
            _check(answer.json())

    await asyncio.gather(*(one() for _ in range(in_flight)))


def _check(answer: dict[str, Any]) -> None:
    assert answer["choices"][0]["message"]["content"] == "pong"


if __name__ == "__main__":
    said = main(sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(said) + "\n")
