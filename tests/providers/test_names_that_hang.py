"""Names that hang, of many providers or of one, delay no other call of the process."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.providers.http import name_threads
from orchestrator.providers.http.client import ClientOptions, HttpClient, NoAnswer
from orchestrator.providers.http.name_threads import AT_ONCE, Found, NameThreads
from orchestrator.providers.http.resolver import WatchedResolver
from orchestrator.providers.port.errors import NotSent
from orchestrator.rules.upstream.local_faults import LocalFault
from tests.providers.asking import call
from tests.providers.rawserver import GOOD, saying, serving

GOOD_NAMES = tuple(f"api.good{n}.test" for n in range(4))
OF_24_PROVIDERS = tuple(f"api.evil{n}.test" for n in range(24))
OF_300_PROVIDERS = tuple(f"api.evil{n}.test" for n in range(300))
OF_ONE_PROVIDER = tuple(f"i{n}.instances.test" for n in range(100))


class System:
    """The resolver of a machine: finds every name here, except those that hang for ever."""

    def __init__(self) -> None:
        self.hangs: set[str] = set()
        self.broken = False
        self.asked: Counter[str] = Counter()
        self._over = threading.Event()

    def look_up(self, host: str, _family: socket.AddressFamily) -> Found:
        self.asked[host] += 1
        if host in self.hangs:
            self._over.wait(60)
        if self.broken:
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
        return [(socket.AF_INET, 0, "127.0.0.1")]

    def end(self) -> None:
        self._over.set()


@pytest.fixture
def system() -> Iterator[System]:
    made = System()
    yield made
    made.end()


def client(system: System, *names: str) -> HttpClient:
    watched = WatchedResolver(names=names, hosts_file=Path("/nonexistent"), lookup=system.look_up)
    options = ClientOptions(dns_cache_seconds=0, keepalive_seconds=0, connect_timeout=0.5, pool_timeout=0.5)
    return HttpClient(options, resolver=watched)


async def outcome(http: HttpClient, host: str, port: int) -> Any:
    """Return the status of its answer, or its error."""
    try:
        return (await http.ask(call(f"http://{host}:{port}", timeout_seconds=1.5))).status
    except (NotSent, NoAnswer) as error:
        return error.failed_here


@pytest.mark.parametrize("evil", [OF_24_PROVIDERS, OF_300_PROVIDERS, OF_ONE_PROVIDER], ids=len)
def test_names_that_hang_keep_no_other_waiting_and_are_their_own_providers_fault(
    system: System, evil: tuple[str, ...]
) -> None:
    async def story() -> None:
        http, loop = client(system, *GOOD_NAMES, *evil), asyncio.get_running_loop()
        async with serving(saying(GOOD)) as url:
            port = int(url.rpartition(":")[2])
            answers = await asyncio.gather(*(outcome(http, host, port) for host in (*evil[:24], *GOOD_NAMES)))
            assert set(answers) == {200}
            system.hangs |= set(evil)
            while late := [host for host in evil[24:] if not system.asked[host]]:
                answer = await asyncio.gather(*(outcome(http, host, port) for host in late))
                assert set(answer) == {None}
            for _ in range(2):
                hanging = [asyncio.ensure_future(outcome(http, host, port)) for host in evil]
                await asyncio.sleep(0.1)
                began = loop.time()
                good = await asyncio.gather(*(outcome(http, host, port) for host in GOOD_NAMES))
                assert set(good) == {200}
                assert loop.time() - began < 1
                answer = await asyncio.gather(*hanging)
                # Where the machine itself stands still for a moment, that is the fault.
                assert set(answer) <= {None, LocalFault.STALLED}, "not the resolver's fault"
        await http.aclose()

    asyncio.run(story())
    assert max(system.asked[host] for host in evil) <= 2, "one thread for each name"


def test_a_resolver_that_answers_nobody_is_the_fault_whatever_hangs(system: System) -> None:
    async def story() -> None:
        http = client(system, *GOOD_NAMES)
        system.broken = True
        system.hangs |= set(OF_24_PROVIDERS)
        found = await asyncio.gather(*(outcome(http, host, 9) for host in (*OF_24_PROVIDERS, *GOOD_NAMES)))
        assert set(found) == {LocalFault.RESOLVER}
        await http.aclose()

    asyncio.run(story())


def test_names_in_doubt_hold_their_own_share_of_the_threads_until_they_answer_in_time(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_threads, "SLOW", 1.0)
    names = [f"{n}.slow{n}.test" for n in range(2 * AT_ONCE)]

    async def story() -> None:
        threads = NameThreads(system.look_up)
        system.hangs |= set(names)
        waiting = [asyncio.ensure_future(threads.resolve(name)) for name in names]
        await asyncio.sleep(0.1)
        assert sum(system.asked.values()) == AT_ONCE
        for _ in range(300):
            if sum(system.asked.values()) < 2 * AT_ONCE:  # those that are in doubt make room
                await asyncio.sleep(0.1)
        [found] = await threads.resolve("api.good.test", 443)
        assert (found["host"], found["port"], found["hostname"]) == ("127.0.0.1", 443, "api.good.test")
        system.end()
        answer = await asyncio.gather(*waiting)
        assert len(answer) == len(names)
        system.hangs.clear()
        await asyncio.gather(*(threads.resolve(name) for name in names))
        assert not threads._doubtful

    asyncio.run(story())


def test_who_gave_up_before_its_turn_costs_no_thread(system: System) -> None:
    async def story() -> None:
        threads = NameThreads(system.look_up)
        system.hangs |= set(OF_ONE_PROVIDER)
        waiting = [asyncio.ensure_future(threads.resolve(name)) for name in OF_ONE_PROVIDER]
        await asyncio.sleep(0.1)
        begun = sum(system.asked.values())
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        system.end()
        await asyncio.sleep(0.1)
        assert sum(system.asked.values()) == begun == name_threads.OF_ONE_DOMAIN

    asyncio.run(story())


def test_where_no_thread_can_be_started_every_caller_hears_of_it(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def story() -> list[Any]:
        http = client(system, *GOOD_NAMES)
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        try:
            return await asyncio.gather(*(outcome(http, host, 9) for host in OF_ONE_PROVIDER))
        finally:
            monkeypatch.undo()
            await http.aclose()

    assert set(asyncio.run(story())) == {LocalFault.THREADS}


def test_the_system_is_asked_as_it_is() -> None:
    async def story() -> list[str]:
        return [one["host"] for one in await NameThreads().resolve("localhost", 80)]

    assert "127.0.0.1" in asyncio.run(story())
    with pytest.raises(OSError, match=r".+"):
        asyncio.run(NameThreads().resolve("no-such-name.invalid"))
