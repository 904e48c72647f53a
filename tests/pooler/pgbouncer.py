"""A real PgBouncer in front of a real PostgreSQL. It comes from the operating system: `apt-get install pgbouncer`."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import make_url

from tests.waiting import WAIT_LIMIT, eventually, free_port

MISSING = (
    "these tests need PgBouncer: install it (Debian: apt-get install pgbouncer, or .ci/install),"
    " or leave them out (make test)"
)


class PgBouncer:
    """One pooler in transaction mode; every database of its server is reached through it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self._port = port

    def in_front_of(self, url: str) -> str:
        """Return the URL of the same database, through the pooler."""
        through = make_url(url).set(host="127.0.0.1", port=self._port, query={})
        return through.render_as_string(hide_password=False)

    def stop(self) -> None:
        """Break off every connection."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(WAIT_LIMIT)


@contextmanager
def pgbouncer(server_uri: str, **options: str) -> Iterator[PgBouncer]:
    """Start one, as the user who owns the server's socket: it refuses to run as root. `options`: more lines of its
    configuration."""
    program = _program()
    host = parse_qs(urlsplit(server_uri).query)["host"][0]
    owner = os.stat(host).st_uid
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-pgbouncer-"))
    port = free_port()
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(_configuration(host, port, options))
    os.chown(directory, owner, -1)
    log = directory / "log"
    account: dict[str, Any] = {"user": owner, "extra_groups": []} if os.geteuid() == 0 else {}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [program, str(configuration)],
            stdout=out,
            stderr=out,
            start_new_session=True,
            **account,
        )
    try:
        eventually(lambda: _listens(process, port, log), "PgBouncer listens")
        yield PgBouncer(process, port)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT_LIMIT)
        shutil.rmtree(directory, ignore_errors=True)


def _program() -> str:
    """Return its path: Debian puts it where only root's PATH leads."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    program = shutil.which("pgbouncer", path=path)
    assert program is not None, MISSING
    return program


def _configuration(host: str, port: int, options: dict[str, str]) -> str:
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": "20",
        "max_client_conn": "1000",
        "log_connections": "0",
        "log_disconnections": "0",
        **options,
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join(["[databases]", f"* = host={host} user=postgres", "[pgbouncer]", *lines, ""])


def _listens(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, f"PgBouncer ended: {log.read_text(errors='replace')[-2000:]}"
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
