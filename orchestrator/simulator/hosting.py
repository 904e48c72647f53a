"""The simulated world on a port."""

import ipaddress

from aiohttp import web

from orchestrator.simulator.control import Control, plain_errors
from orchestrator.simulator.dispatch import Dispatcher
from orchestrator.simulator.operate import Operator
from orchestrator.simulator.world import Simulator

#: connections that may wait to be accepted: a thousand clients arrive at once
BACKLOG = 4096
LARGEST_REQUEST = 64 * 1024 * 1024
#: seconds that calls in progress get at the end; those that hang would take for ever
GRACE = 0.05


class Host:
    """One listening server; belongs to the event loop that started it."""

    def __init__(self, world: Simulator) -> None:
        self._dispatcher = Dispatcher(world)
        self.operator = Operator(world, self._dispatcher.forget)
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> str:
        """Listen; return the URL."""
        self._runner = web.AppRunner(
            self._app(), access_log=None, handler_cancellation=True, shutdown_timeout=GRACE
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=BACKLOG).start()
        bound: int = self._runner.addresses[0][1]
        return f"http://{f'[{host}]' if ':' in host else host}:{bound}"

    async def stop(self) -> None:
        self._dispatcher.forget()
        if self._runner is not None:
            await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[plain_errors], client_max_size=LARGEST_REQUEST)
        app.add_routes(Control(self.operator).routes())
        app.router.add_route("*", "/{upstream}/{path:.*}", self._dispatcher.handle)
        return app


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the host. A name other than localhost is not trusted: it may
    change."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
