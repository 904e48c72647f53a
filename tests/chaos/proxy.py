"""A TCP proxy that can be cut: between workers and the database, the broker or the platforms."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Listens on a port of its own, in a thread of its own; passes bytes on to a TCP address or a unix socket."""

    def __init__(self, target: tuple[str, int] | Path) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._passes = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._run(lambda: asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.heal()

    def cut(self) -> None:
        """Every connection ends at once, without a goodbye; new ones are accepted."""
        self._call(self._abort_all)

    def stall(self) -> None:
        """Nothing passes either way, and nobody is told."""
        self._call(self._passes.clear)

    def heal(self) -> None:
        """Bytes pass again; what was held back arrives now."""
        self._call(self._passes.set)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._call(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, act: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(act)

    def _run(self, make: Callable[[], Awaitable[asyncio.Server]]) -> asyncio.Server:
        async def started() -> asyncio.Server:
            return await make()

        return asyncio.run_coroutine_threadsafe(started(), self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, to_there = await self._connect()
        except OSError:  # the server is down: so are we
            writer.transport.abort()
            return
        self._writers |= {writer, to_there}
        await asyncio.gather(self._pass_on(reader, to_there), self._pass_on(there, writer))

    async def _connect(self) -> Streams:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while some := await reader.read(65536):
                await self._passes.wait()
                writer.write(some)
                await writer.drain()
        self._writers.discard(writer)
        writer.close()

    async def _end(self) -> None:
        self._server.close()
        self._passes.set()
        self._abort_all()
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
