"""The stage: simulator and platform in processes of their own, which always end with it."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_server

from redis import Redis, RedisError

from orchestrator.cli.demo import cast, files
from orchestrator.client import BrokerUnreachable, JobClient
from orchestrator.settings.environment import API_PORT
from orchestrator.settings.sockets import private_socket, socket_url
from orchestrator.settings.urls import derived_result_url

#: Seconds that a process has to be there (3 on an idle machine of two cores), and to leave after a signal; after a
#: second signal, the platform leaves at once.
START, LEAVE, LEAVE_AT_ONCE = 90.0, 12.0, 5.0
#: Seconds between two looks whether it is there, and for one answer of it.
_LOOK, _ANSWER = 0.05, 2.0


class NotUp(Exception):
    """A process did not come up. The message ends with its last output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """The addresses of everything that listens."""

    simulator_url: str
    database_url: str
    broker_url: str
    result_url: str
    api_port: int | None = None
    """The port of the HTTP API and the console; None: it is not served."""


@contextmanager
def set_stage(directory: Path, *, serves: bool = False) -> Iterator[Stage]:
    """Start both processes, wait until the platform answers, and end both afterwards. `serves`: with the HTTP API."""
    data = directory / "data"
    socket = private_socket(data)
    with _simulator(directory) as url:
        stage = Stage(
            simulator_url=url,
            database_url=f"sqlite:///{directory / 'orchestrator.db'}",
            broker_url=socket_url(socket),
            result_url=derived_result_url(socket_url(socket)),
            api_port=_free_port() if serves else None,
        )
        with _platform(directory, data, stage, socket):
            yield stage


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals while cleaning up. That takes seconds, and a second Ctrl-C would leave processes behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    """Return the usual port of the API, or another where that is taken."""
    for port in (API_PORT, 0):
        with suppress(OSError), create_server(("127.0.0.1", port)) as tried:
            found: int = tried.getsockname()[1]
            return found
    raise NotUp("no port is free for the HTTP API")


@contextmanager
def _simulator(directory: Path) -> Iterator[str]:
    world, ready = directory / "world.json", directory / "simulator.ready"
    files.write_world(world)
    arguments = ["-m", "orchestrator.simulator", "--preload", str(world), "--ready-file", str(ready)]
    with _process(directory, "simulator", arguments, files.environment()) as process:
        _wait_for(process, directory, "simulator", ready.exists)
        yield json.loads(ready.read_text())["url"]


@contextmanager
def _platform(directory: Path, data: Path, stage: Stage, socket: Path) -> Iterator[None]:
    configuration = directory / "orchestrator.toml"
    files.write_configuration(configuration, stage.simulator_url)
    environment = files.environment(
        ORCHESTRATOR_CONFIG=str(configuration),
        ORCHESTRATOR_DATABASE_URL=stage.database_url,
        ORCHESTRATOR_DATA_DIR=str(data),
        ORCHESTRATOR_API_PORT=str(stage.api_port or "off"),
        **cast.SECRETS,
    )
    try:
        with _process(directory, "platform", ["-m", "orchestrator", "up"], environment) as process:
            _wait_for(process, directory, "platform", lambda: socket.exists() and _answers(stage))
            yield
    finally:
        _end_valkey(socket)


@contextmanager
def _process(
    directory: Path, name: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  (this very interpreter)
            [sys.executable, *arguments],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours: we stop them in their order
        )
    try:
        yield process
    finally:
        with undisturbed():
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for seconds in (LEAVE, LEAVE_AT_ONCE):
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return
    process.kill()
    process.wait()


def _end_valkey(socket: Path) -> None:
    """Stop the Valkey of an `orchestrator up` that was killed. One that ends normally stops its own."""
    if socket.exists():
        with suppress(RedisError):
            Redis(unix_socket_path=str(socket)).shutdown(nosave=True)


def _answers(stage: Stage) -> bool:
    """Return whether a worker takes jobs. A refusal is an answer too."""
    with JobClient(stage.broker_url, stage.result_url) as client:
        try:
            return client.call("orchestrator.session.ping", {"session_id": "nobody"}, _ANSWER) is not None
        except BrokerUnreachable:
            return False


def _wait_for(
    process: "subprocess.Popen[bytes]", directory: Path, name: str, is_up: Callable[[], bool]
) -> None:
    give_up_at = time.monotonic() + START
    while time.monotonic() < give_up_at and process.poll() is None:
        if is_up():
            return
        time.sleep(_LOOK)
    log = (directory / f"{name}.log").read_text(errors="replace")
    code = process.poll()
    how = f"does not answer within {START:g} s" if code is None else f"ended with {code}"
    raise NotUp(f"the {name} {how}: {' | '.join(log.strip().splitlines()[-5:])}")
