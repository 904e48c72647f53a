"""Failures of this machine: real errors of the kernel, the resolver, the loop, each recognised as such."""

import asyncio
import errno
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from orchestrator.providers.http.client import ClientOptions, HttpClient, NoAnswer
from orchestrator.providers.http.local_faults import OF_ERRNO, OF_ONE_FAMILY, plain_fault
from orchestrator.providers.http.own_evidence import OwnFaults
from orchestrator.providers.http.resolver import WatchedResolver
from orchestrator.providers.port.errors import NotSent
from orchestrator.rules.upstream.local_faults import LocalFault
from tests.providers.asking import call
from tests.providers.rawserver import GOOD, saying, serving
from tests.waiting import free_port

NOWHERE = Path("/nonexistent")


class Names(AbstractResolver):
    """A resolver that finds some names, all at one port; for others it fails with a given error."""

    def __init__(self, known: set[str], error: Any = socket.EAI_NONAME) -> None:
        self.known, self.error = known, error

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host in self.known:
            found = ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
            return [found]
        if isinstance(self.error, BaseException):
            raise self.error
        if self.error is None:
            await asyncio.sleep(3600)
        raise socket.gaierror(self.error, "the resolver says no")

    async def close(self) -> None:
        pass


def client(
    resolver: AbstractResolver | None = None, names: tuple[str, ...] = (), **options: Any
) -> HttpClient:
    watched = WatchedResolver(resolver, names=names, hosts_file=NOWHERE)
    return HttpClient(ClientOptions(dns_cache_seconds=0, **options), resolver=watched)


def fault_of(http: HttpClient, url: str, **more: Any) -> tuple[type[Exception], LocalFault | None]:
    async def story() -> tuple[type[Exception], LocalFault | None]:
        try:
            await http.ask(call(url, **more))
        except (NotSent, NoAnswer) as error:
            return type(error), error.failed_here
        finally:
            await http.aclose()
        raise AssertionError("it was answered")

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("known", "error", "fault"),
    [
        pytest.param(set(), socket.EAI_AGAIN, LocalFault.RESOLVER, id="no name server answers"),
        pytest.param(set(), socket.EAI_FAIL, LocalFault.RESOLVER, id="the name server fails"),
        pytest.param(set(), socket.EAI_SYSTEM, LocalFault.RESOLVER, id="the system fails"),
        pytest.param(set(), socket.EAI_NONAME, LocalFault.RESOLVER, id="no name is found at all"),
        pytest.param({"beta.test"}, socket.EAI_NONAME, None, id="only this name is not found"),
        pytest.param({"beta.test"}, socket.EAI_AGAIN, None, id="only its own name servers are silent"),
        pytest.param({"beta.test"}, None, None, id="only its own name servers are silent, and slow"),
        pytest.param(set(), None, LocalFault.RESOLVER, id="the resolver hangs"),
        pytest.param({"other.example"}, socket.EAI_NONAME, LocalFault.RESOLVER, id="a file knows a sibling"),
        pytest.param(
            set(), RuntimeError("can't start new thread"), LocalFault.THREADS, id="no thread to ask in"
        ),
        pytest.param(set(), OSError(errno.EMFILE, "full"), LocalFault.FILES, id="no descriptor to ask with"),
    ],
)
def test_a_name_that_is_not_found_is_ours_where_none_is(
    known: set[str], error: Any, fault: LocalFault | None
) -> None:
    http = client(Names(known, error), names=("beta.test",), pool_timeout=0.3)
    assert fault_of(http, "http://alpha.example") == (NotSent, fault)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        pytest.param(socket.EAI_NONAME, None, id="it may have ended with what it named"),
        pytest.param(socket.EAI_AGAIN, LocalFault.RESOLVER, id="no name server answers"),
    ],
)
def test_the_only_name_there_is(error: int, fault: LocalFault | None) -> None:
    assert fault_of(client(Names(set(), error)), "http://alpha.example") == (NotSent, fault)


def test_names_that_a_file_knows_prove_nothing(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost beta.test  # by hand\n")
    watched = WatchedResolver(Names({"beta.test"}), names=["beta.test"], hosts_file=tmp_path / "hosts")
    http = HttpClient(resolver=watched)
    assert fault_of(http, "http://alpha.example") == (NotSent, None), "beta.test is no name server's word"


def test_many_failures_ask_once() -> None:
    asked: list[str] = []

    class Counting(Names):
        async def resolve(self, host: str, *args: Any, **more: Any) -> list[ResolveResult]:
            asked.append(host)
            return await super().resolve(host, *args, **more)

    async def story() -> list[LocalFault | None]:
        http = client(Counting(set()), names=("beta.test",))
        found = await asyncio.gather(
            *(http.ask(call("http://alpha.example")) for _ in range(50)), return_exceptions=True
        )
        await http.aclose()
        return [one.failed_here for one in found if isinstance(one, NotSent)]

    assert asyncio.run(story()) == [LocalFault.RESOLVER] * 50
    assert asked.count("beta.test") == 1


@pytest.mark.parametrize("number", sorted(OF_ERRNO), ids=lambda number: errno.errorcode[number])
def test_every_error_of_the_table_is_read_from_inside_the_transport(number: int, monkeypatch: Any) -> None:
    async def fails(*_args: Any, **_more: Any) -> socket.socket:
        raise OSError(number, "it failed here")

    monkeypatch.setattr("aiohappyeyeballs.start_connection", fails)
    assert fault_of(client(), "http://127.0.0.1:9") == (NotSent, OF_ERRNO[number])


def test_an_address_family_that_does_not_work_here_says_nothing_where_another_may() -> None:
    for number, fault in OF_ERRNO.items():
        expected = None if number in OF_ONE_FAMILY else fault
        assert plain_fault(OSError(number, ""), one_family=False) is expected


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(f"http://127.0.0.1:{free_port()}", id="refused"),
        pytest.param(f"https://127.0.0.1:{free_port()}", id="refused with TLS"),
        pytest.param("gopher://host", id="no such protocol"),
    ],
)
def test_what_the_other_side_does_is_not_ours(url: str) -> None:
    assert fault_of(client(), url) == (NotSent, None)


def test_a_broken_connection_is_not_ours() -> None:
    async def story() -> LocalFault | None:
        http = client()
        async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")) as url:
            with pytest.raises(NoAnswer) as broken:
                await http.ask(call(url))
        await http.aclose()
        return broken.value.failed_here

    assert asyncio.run(story()) is None


def test_a_proxy_of_ours_is_ours() -> None:
    key: Any = None
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    error = aiohttp.ClientProxyConnectionError(key, refused)
    assert plain_fault(error, one_family=True) is LocalFault.PROXY


def test_a_full_file_table_is_ours() -> None:
    story = """
        import asyncio, os, resource
        from orchestrator.providers.port.errors import NotSent
        from orchestrator.providers.http.client import Call, HttpClient

        async def story(http):
            for url in ("http://127.0.0.1:9", "http://host.example"):
                try:
                    await http.ask(Call(method="GET", url=url, timeout_seconds=5))
                except NotSent as error:
                    print(error.failed_here)

        async def full():
            http = HttpClient()
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
            held = []
            try:
                while True:
                    held.append(os.dup(0))
            except OSError:
                pass
            await story(http)

        asyncio.run(full())
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(story)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stdout.split() == ["files", "files"]


def test_a_client_that_trusts_no_authority_is_ours() -> None:
    own = OwnFaults(1, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    key: Any = None
    error = aiohttp.ClientConnectorSSLError(key, ssl.SSLError(1, "self-signed"))

    async def story() -> LocalFault | None:
        return await own.fault_of("alpha.example", error, begun=0, timeout_seconds=1, sent=False)

    assert asyncio.run(story()) is LocalFault.CERTIFICATES


def test_a_loop_that_stood_still_lets_no_timeout_count() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def story() -> list[LocalFault | None]:
        http, found = client(), []
        async with serving(hang) as url:
            for stalls in (True, False):
                asked = asyncio.ensure_future(http.ask(call(url, timeout_seconds=3)))
                await asyncio.sleep(0.2)
                if stalls:
                    time.sleep(4)  # noqa: ASYNC251 - the loop stands still
                [error] = await asyncio.gather(asked, return_exceptions=True)
                assert isinstance(error, NoAnswer)
                found.append(error.failed_here)
        await http.aclose()
        return found

    assert asyncio.run(story()) == [LocalFault.STALLED, None]


def test_calls_that_wait_for_a_connection_of_their_own_process_are_ours() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def story() -> list[LocalFault | None]:
        http = client(max_connections=1, pool_timeout=0.3)
        async with serving(hang) as url:
            first = asyncio.ensure_future(http.ask(call(url, timeout_seconds=2)))
            await asyncio.sleep(0.1)
            with pytest.raises(NotSent) as waited:
                await http.ask(call(url, timeout_seconds=1.5))
            [error] = await asyncio.gather(first, return_exceptions=True)
        await http.aclose()
        assert isinstance(error, NoAnswer)
        return [waited.value.failed_here, error.failed_here]

    assert asyncio.run(story()) == [LocalFault.QUEUE, None]


def test_a_call_that_is_answered_needs_no_excuse() -> None:
    async def story() -> int:
        http = client(Names({"alpha.example"}))
        async with serving(saying(GOOD)) as url:
            answer = await http.ask(call(url.replace("127.0.0.1", "alpha.example")))
        await http.aclose()
        return answer.status

    assert asyncio.run(story()) == 200
