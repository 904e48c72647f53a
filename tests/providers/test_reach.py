"""Endpoints that jobs name are reached only where the operator allows them, for any answer of DNS at that moment."""

import asyncio
import socket
from collections.abc import Coroutine
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from orchestrator.providers.http.client import Call, ClientOptions, HttpClient
from orchestrator.providers.http.reach import AddressRefused, CheckedResolver, RefusedByResolver, check_url
from orchestrator.providers.port.errors import NotSent
from orchestrator.rules.upstream.addresses import Reach

LOOPBACK = Reach(named=frozenset({"127.0.0.1", "localhost"}))


class Names(AbstractResolver):
    """A resolver that gives these answers, one after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self._answers.pop(0)
        return [
            ResolveResult(hostname=host, host=a, port=port, family=family, proto=0, flags=0)
            for a in addresses
        ]

    async def close(self) -> None:
        pass


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_each_address_of_a_name_is_checked_at_each_connect() -> None:
    async def story() -> None:
        rebinding = CheckedResolver(Reach(), Names(["1.1.1.1", "10.0.0.1"], ["127.0.0.1"], []))
        first = await rebinding.resolve("api.example", 443)
        assert [result["host"] for result in first] == ["1.1.1.1"]
        with pytest.raises(RefusedByResolver, match="leads to an address"):
            await rebinding.resolve("api.example", 443)
        answer = await rebinding.resolve("api.example", 443)
        assert answer == []
        await rebinding.close()

    run(story())


def test_a_name_may_lead_into_a_range_that_was_allowed() -> None:
    async def story() -> None:
        reach = Reach(networks=(ip_network("10.0.0.0/8"),))
        [found] = await CheckedResolver(reach, Names(["10.0.0.1"])).resolve("vllm.internal")
        assert found["host"] == "10.0.0.1"

    run(story())


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://[::1]:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://127.1:{port}/",
        "http://0.0.0.0:{port}/",
        "http://127\u30020\u30020\u30021:{port}/",
        "http://127\uff0e0\uff0e0\uff0e1:{port}/",
        "http://\u24db\u24deocalhost:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[64:ff9b::7f00:1]:{port}/",
        "http://user:password@localhost:{port}/",
        "ftp://localhost:{port}/",
        "http://localhost:{port}/",  # a name, refused after DNS
        "http://[/",
    ],
)
def test_nothing_is_sent_to_an_address_that_nobody_allowed(url: str) -> None:
    async def story() -> None:
        asked: list[str] = []
        async with serving(asked) as port:
            client = HttpClient(ClientOptions(reach=Reach()))
            with pytest.raises(AddressRefused) as refused:
                await client.ask(Call(method="GET", url=url.format(port=port), timeout_seconds=5))
            assert "password" not in str(refused.value)
            assert isinstance(refused.value, NotSent)
            await client.aclose()
        assert asked == []

    run(story())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_that_the_operator_named_is_reached(host: str) -> None:
    async def story() -> None:
        asked: list[str] = []
        async with serving(asked) as port:
            client = HttpClient()
            checked = client.checked(LOOPBACK)
            assert client.checked(LOOPBACK) is checked
            answer = await checked.ask(Call(method="GET", url=f"http://{host}:{port}/", timeout_seconds=5))
            assert answer.status == 302
            await client.aclose()
        assert asked == ["/"], "a redirect is an answer, and is not followed to another host"

    run(story())


def test_an_url_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(AddressRefused, match="cannot be read"):
        check_url(Reach(), "http://[::1/")


class serving:  # noqa: N801  (it reads as a word: async with serving(…))
    """Start a server on loopback that redirects every request."""

    def __init__(self, asked: list[str]) -> None:
        async def elsewhere(request: web.Request) -> web.Response:
            asked.append(request.path)
            return web.Response(status=302, headers={"location": f"http://127.0.0.1:{self._port}/secret"})

        self._app = web.Application()
        self._app.router.add_route("*", "/{tail:.*}", elsewhere)
        self._port = 0

    async def __aenter__(self) -> int:
        self._runner = web.AppRunner(self._app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = int(self._runner.addresses[0][1])
        return self._port

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()
