"""Serve the API with uvicorn until a signal: what is under way is answered, streams end, then the process exits."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeAlias

import uvicorn
from starlette.types import ASGIApp

from orchestrator.api.app import create_app
from orchestrator.api.listening import listen
from orchestrator.api.malformed import ProblemProtocol
from orchestrator.api.process import ApiProcess, build
from orchestrator.settings import Settings

log = logging.getLogger(__name__)

Application: TypeAlias = Callable[[ApiProcess], ASGIApp]

#: Seconds from the signal within which requests under way are answered.
ANSWERED_WITHIN = 15
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ApiServer(uvicorn.Server):
    """A server that ends with exit code 0 after a signal, and lets streams end first. A second signal ends it at
    once."""

    def __init__(self, config: uvicorn.Config, process: ApiProcess) -> None:
        super().__init__(config)
        self._process = process
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen for signals, and do not raise them again at the end."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to end; at a second signal, end at once."""
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed already: the process is at its end
                self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        self._process.leaving.set()
        self._process.feed.stop()


def serve(settings: Settings, application: Application = create_app) -> int:
    """Serve until a signal, and return the exit code. Raises ConfigurationError if the port is taken."""
    listener = listen(settings)
    built = build(settings)
    try:
        process = ApiProcess(built.services, built.webhooks)
        server = server_of(process, settings.api_forwarded_allow_ips, application)
        log.info("HTTP API at http://%s:%d/v1", *listener.getsockname()[:2])
        server.run(sockets=[listener])
    finally:
        listener.close()
        built.close()
    return 0


def server_of(
    process: ApiProcess, forwarded_allow_ips: str = "", application: Application = create_app
) -> ApiServer:
    """Return a server of this process. `forwarded_allow_ips`: proxies that say where requests come from."""
    config = uvicorn.Config(
        application(process),
        http=ProblemProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(forwarded_allow_ips),
        forwarded_allow_ips=forwarded_allow_ips,
        timeout_graceful_shutdown=ANSWERED_WITHIN,
    )
    return ApiServer(config, process)
