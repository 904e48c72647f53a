"""Serve metrics and probes over HTTP, in a thread of the process, on a port that no other process holds."""

import errno
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

log = logging.getLogger(__name__)

#: Ports that are tried, from the configured one on: this many processes of one host may have the same setting.
PORTS = 20

#: Requests that are answered at once, each in a thread; others wait for their turn.
MOST_THREADS = 8
#: A client that neither sends its request nor reads the answer for this long is cut off. Seconds.
CLIENT_WITHIN = 10.0

Probe = Callable[[], str | None]
"""Returns None if all is well, otherwise what is not, as a sentence."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._free = threading.BoundedSemaphore(MOST_THREADS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, once one is free. The system queues, and then refuses, what comes meanwhile."""
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then let the next request in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log why a request was not answered, unless its client left or was cut off."""
        error = sys.exception()
        if not isinstance(error, TimeoutError | ConnectionError):
            log.warning("a request for metrics or a probe failed (%s)", type(error).__name__)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    """Logs no requests, and cuts off clients that are too slow."""

    def setup(self) -> None:
        """Bound the time that a client may keep its thread."""
        super().setup()
        self.connection.settimeout(CLIENT_WITHIN)

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


def serve(host: str, port: int, registry: CollectorRegistry, probes: Mapping[str, Probe]) -> int:
    """Serve `/metrics`, and each probe under its path, in a thread of its own. Return the port: the given one, or the
    next that is free. Raises OSError."""
    server = _listening(host, port, _application(registry, probes))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    if server.server_port != port:
        log.warning(
            "port %d is in use by another process, so this one serves its metrics on port %d: scrape both,"
            " or give each process a port of its own in ORCHESTRATOR_METRICS_PORT",
            port,
            server.server_port,
        )
    return server.server_port


def _listening(host: str, port: int, application: Callable[..., Iterable[bytes]]) -> WSGIServer:
    for candidate in range(port, min(port + PORTS, 65536)):
        try:
            return make_server(
                host, candidate, application, _Server6 if ":" in host else _Server, handler_class=_Quiet
            )
        except OSError as error:
            last = candidate == min(port + PORTS, 65536) - 1
            if error.errno != errno.EADDRINUSE or last:
                raise
    raise AssertionError(port)  # the last candidate returns or raises


def _application(registry: CollectorRegistry, probes: Mapping[str, Probe]) -> Callable[..., Iterable[bytes]]:
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        probe = probes.get(environ.get("PATH_INFO", ""))
        return metrics(environ, start) if probe is None else _probed(probe, start)

    return answer


def _probed(probe: Probe, start: Callable[..., Any]) -> Iterable[bytes]:
    fault = probe()
    status = HTTPStatus.OK if fault is None else HTTPStatus.SERVICE_UNAVAILABLE
    body = {"status": "ok"} if fault is None else {"status": "unavailable", "detail": fault}
    start(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
