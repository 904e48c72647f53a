"""Servers of a run: a PostgreSQL that counts statements, and nginx as the upstream platform."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.postgres import PostgresServer, postgres_server
from tests.servers import Postgres
from tests.waiting import WAIT_LIMIT, eventually, free_port

#: Where Debian puts nginx's modules.
_ECHO = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
_HOW = "apt-get install --no-install-recommends nginx-light libnginx-mod-http-echo (Debian, Ubuntu)"
#: A chat completion as small as a platform sends.
COMPLETION = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "model": "llama-3",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)


class ServerMissing(Exception):
    """A server that no wheel brings is not installed here."""


class CountingServer(PostgresServer):
    """A PostgreSQL server with `pg_stat_statements`, and room for as many rows as a large run has."""

    def _fill(self) -> None:
        super()._fill()
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(
                "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track_utility = off\n"
                "shared_buffers = 512MB\nmax_wal_size = 8GB\nmaintenance_work_mem = 256MB\nmax_connections = 200\n"
            )

    @property
    def pid(self) -> int:
        """Return its first process, below which all others are."""
        assert self._process is not None
        return self._process.pid


@contextmanager
def counting_postgres() -> Iterator[tuple[CountingServer, Postgres]]:
    """Start one; its commits do not wait for the disk, as in all tests."""
    with postgres_server(CountingServer) as server:
        assert isinstance(server, CountingServer)
        yield server, Postgres(server.uri)


@contextmanager
def nginx(directory: Path, delays_ms: Mapping[str, float]) -> Iterator[Mapping[str, str]]:
    """Start an nginx that answers every request after this many milliseconds; yield name → base URL."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise ServerMissing(f"nginx is the upstream of the benchmarks and is not installed: {_HOW}")
    if any(delays_ms.values()) and not _ECHO.exists():
        raise ServerMissing(f"nginx's echo module delays answers and is not installed: {_HOW}")
    directory.mkdir(parents=True, exist_ok=True)
    ports = {name: free_port() for name in delays_ms}
    text = _configuration(directory, {ports[name]: delay for name, delay in delays_ms.items()})
    (directory / "nginx.conf").write_text(text)
    with (directory / "nginx.log").open("ab") as log:
        server = subprocess.Popen(
            [
                program,
                "-p",
                str(directory),
                "-c",
                str(directory / "nginx.conf"),
                "-e",
                str(directory / "error.log"),
            ],
            stdout=log,
            stderr=log,
        )
    urls = {name: f"http://127.0.0.1:{port}/v1" for name, port in ports.items()}
    try:
        eventually(
            lambda: server.poll() is not None or all(map(_answers, urls.values())), "nginx", every=0.02
        )
        if server.poll() is not None:
            raise ServerMissing(f"nginx ended: {(directory / 'nginx.log').read_text()}")
        yield urls
    finally:
        server.terminate()
        server.wait(WAIT_LIMIT)


def requests_held(url: str) -> int:
    """Return how many requests the nginx of this base URL has received and not answered yet, on all of its ports."""
    said = httpx.get(f"{url.removesuffix('/v1')}/status", timeout=WAIT_LIMIT, trust_env=False).text
    return int(said.partition("Writing:")[2].split()[0]) - 1  # this one is among them


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=WAIT_LIMIT, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _configuration(directory: Path, delay_of_port: Mapping[int, float]) -> str:
    slow = any(delay_of_port.values())
    servers = "\n".join(_server(port, delay) for port, delay in delay_of_port.items())
    temporary = "\n".join(
        f"  {kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""{f"load_module {_ECHO};" if slow else ""}
daemon off;
pid {directory}/nginx.pid;
worker_processes 1;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 100000000;
  keepalive_timeout 75s;
  client_body_buffer_size 16k;
{temporary}
{servers}
}}
"""


def _server(port: int, delay_ms: float) -> str:
    answer = f"return 200 '{COMPLETION}';"
    if delay_ms:
        answer = f"echo_sleep {delay_ms / 1000:g}; echo '{COMPLETION}';"
    return f"""  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location = /status {{ stub_status; }}
    location / {{ {answer} }}
  }}"""
