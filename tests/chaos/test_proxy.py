"""The proxy that chaos breaks things with leaves nothing behind, whoever comes while it closes."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.chaos.proxy import Proxy


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """Accepts whoever comes, and leaves at once."""
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


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_no_connection_outlives_the_proxy_that_it_came_through(server: tuple[str, int]) -> None:
    for _ in range(20):
        proxy, over = Proxy(server), threading.Event()

        def storm(port: int, over: threading.Event) -> None:
            while not over.is_set():
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as client:
                    client.send(b"anybody?")

        clients = [threading.Thread(target=storm, args=(proxy.port, over)) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.02)
        proxy.close()
        over.set()
        for client in clients:
            client.join()
    gc.collect()  # a socket that nobody closed says so now, and fails the test
