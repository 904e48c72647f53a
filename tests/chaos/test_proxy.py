"""The proxy that breaks connections leaves nothing open, also for clients that come while it closes."""

import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import Proxy


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """Accept each client, and close its connection at once."""
    listener, over = socket.create_server(("127.0.0.1", 0), backlog=128), threading.Event()
    listener.settimeout(0.05)

    def serve() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                listener.accept()[0].close()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()
    over.set()
    thread.join()
    listener.close()


def test_no_connection_outlives_the_proxy_that_it_came_through(server: tuple[str, int]) -> None:
    for _ in range(20):
        proxy, came, over = Proxy(server), threading.Event(), threading.Event()
        clients = [
            threading.Thread(target=_connect_repeatedly, args=(proxy.port, came, over)) for _ in range(4)
        ]
        for client in clients:
            client.start()
        assert came.wait(10)
        proxy.close()
        over.set()
        for client in clients:
            client.join()
    gc.collect()  # a socket that was left open warns now, and fails the test


def _connect_repeatedly(port: int, came: threading.Event, over: threading.Event) -> None:
    while not over.is_set():
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as client:
            client.send(b"anybody?")
            came.set()
