"""A TCP proxy that can be cut: between workers and the database, the broker or the platforms."""

import asyncio
import socket
import threading
from collections.abc import Callable
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
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._accepting = asyncio.run_coroutine_threadsafe(self._accept(), self._loop)
        self.heal()

    def cut(self) -> None:
        """End every connection at once, without a goodbye; accept new ones."""
        self._call(self._abort_all)

    def stall(self) -> None:
        """Pass nothing either way, silently."""
        self._call(self._passes.clear)

    def heal(self) -> None:
        """Pass bytes again; what was held back arrives now."""
        self._call(self._passes.set)

    def close(self) -> None:
        """Close it. No accept is interrupted half way: that would leave a socket without an owner open."""
        self._over = True
        # The thread that waits for the next client is woken; another client may have done so.
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._accepting.result(10)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._call(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, act: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(act)

    async def _accept(self) -> None:
        served = set()
        with self._listener:
            while not self._over:
                client, _ = await self._loop.sock_accept(self._listener)
                task = self._loop.create_task(self._serve(client))
                served.add(task)
                task.add_done_callback(served.discard)

    async def _serve(self, client: socket.socket) -> None:
        try:
            there, to_there = await self._connect()
        except OSError:  # the server is down, and so is the proxy
            client.close()
            return
        here, to_here = await asyncio.open_connection(sock=client)
        both = {to_here, to_there}
        self._writers |= both
        await asyncio.gather(self._pass_on(here, to_there), self._pass_on(there, to_here))
        for writer in both:
            with suppress(OSError):
                await writer.wait_closed()
        self._writers -= both

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
        writer.close()

    async def _end(self) -> None:
        self._passes.set()
        mine = asyncio.current_task()
        while open_still := [task for task in asyncio.all_tasks() if task is not mine]:
            self._abort_all()
            await asyncio.wait(open_still, timeout=0.05)

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
