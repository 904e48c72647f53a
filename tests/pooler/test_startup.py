"""Every release of PgBouncer that refuses our options is recognised, by its own words."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import OperationalError

from orchestrator.store.core.engine import open_engine


@contextmanager
def refusing(message: str, seen: list[bytes]) -> Iterator[int]:
    """Start a server that answers each startup packet with this error; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                with client:
                    _refuse(client, message, seen)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


def _refuse(client: socket.socket, message: str, seen: list[bytes]) -> None:
    client.settimeout(10)
    (length,) = struct.unpack("!I", client.recv(4, socket.MSG_WAITALL))
    seen.append(client.recv(length - 4, socket.MSG_WAITALL))
    fields = b"SFATAL\0C08P01\0M" + message.encode() + b"\0\0"
    client.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("unsupported startup parameter: options", id="before 1.20"),
        pytest.param("unsupported startup parameter in options: statement_timeout", id="since 1.20"),
    ],
)
def test_options_that_are_refused_are_left_out(message: str) -> None:
    seen: list[bytes] = []
    with refusing(message, seen) as port:
        engine = open_engine(
            f"postgresql+psycopg://me@127.0.0.1:{port}/db?sslmode=disable&gssencmode=disable", 1
        )
        for _ in range(2):
            with pytest.raises(OperationalError, match="unsupported startup parameter"):
                engine.connect()
        engine.dispose()
    assert [b"options\0" in packet for packet in seen] == [True, False, False]


def test_another_refusal_is_not_tried_again() -> None:
    seen: list[bytes] = []
    with refusing("password authentication failed", seen) as port:
        engine = open_engine(
            f"postgresql+psycopg://me@127.0.0.1:{port}/db?sslmode=disable&gssencmode=disable", 1
        )
        with pytest.raises(OperationalError, match="password authentication failed"):
            engine.connect()
        engine.dispose()
    assert len(seen) == 1
