"""A proxy that ends TLS in front of a server that has none: PostgreSQL (which is asked first) or Redis."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trustme

#: The request of a PostgreSQL client before TLS, and the server's "yes".
_SSL_REQUEST, _YES = 8, b"S"
Address = tuple[str, int] | str


@contextmanager
def tls_proxy(upstream: Address, ca: trustme.CA, *, name: str, postgresql: bool) -> Iterator[int]:
    """Start the proxy; yield the port on which `upstream` speaks TLS, as `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        def serve(client: socket.socket) -> None:
            with suppress(OSError, ssl.SSLError), client:
                if postgresql:
                    client.recv(_SSL_REQUEST, socket.MSG_WAITALL)
                    client.sendall(_YES)
                with context.wrap_socket(client, server_side=True) as safe, _connected(upstream) as server:
                    back = threading.Thread(target=_pump, args=(server, safe), daemon=True)
                    back.start()
                    _pump(safe, server)

        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])


def _connected(address: Address) -> socket.socket:
    if isinstance(address, str):
        made = socket.socket(socket.AF_UNIX)
        made.connect(address)
        return made
    return socket.create_connection(address)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
