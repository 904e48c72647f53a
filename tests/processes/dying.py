"""`python -m tests.processes.dying worker`: a real worker that notes its points, and is killed at one of them.

A point is before or after a COMMIT that wrote something, and before or after a call to a provider. Each is appended to
the file DYING_LOG. At a point that DYING_AT names, one a line, the whole tree is killed when a point is reached for the
DYING_NTH time. Then the last line is the place of the death."""

import fcntl
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import Connection, event

from orchestrator import wiring
from orchestrator.cli import main as command
from orchestrator.flows.engine.slots import TOTALS
from orchestrator.providers.http.client import Call, ClientOptions, HttpClient
from orchestrator.providers.port.answers import Response
from orchestrator.rules.states import Step
from orchestrator.settings import Configuration, Settings
from orchestrator.store.database import Database
from orchestrator.store.transaction import Transaction
from tests.processes.platform import living_in
from tests.simulation.worker import name_of

T = TypeVar("T")
#: Begins the last line of a process that died.
DIED = "died "


def main() -> None:
    """Run the command line of `orchestrator`, over a store and a client that note their points."""
    built = wiring.build

    def build(settings: Settings, configuration: Configuration, **given: Any) -> wiring.Built:
        given["database"] = ReportingDatabase(settings.database_url, pool_size=given.pop("pool_size", 5))
        given["http"] = ReportingClient(ClientOptions(max_connections=sum(TOTALS.values())))
        return built(settings, configuration, **given)

    wiring.build = build  # in this process alone, which ends with the test
    command.main()


class ReportingDatabase(Database):
    """Notes two points for each transaction that writes; more where it commits in several parts."""

    def __init__(self, url: str, *, pool_size: int) -> None:
        super().__init__(url, pool_size=pool_size)
        self._here = threading.local()
        event.listen(self.engine, "after_cursor_execute", self._executed)
        event.listen(self.engine, "commit", self._commits)

    def attempt(self, work: Callable[[Transaction], T]) -> tuple[T, frozenset[Step]]:
        here = self._here
        here.name, here.wrote, here.committed = name_of(work), False, False
        done = super().attempt(work)
        if here.committed:
            come_by(f"after the commit of {here.name}")
        return done

    def _executed(
        self, _c: Connection, cursor: Any, _statement: str, _given: Any, context: Any, _many: bool
    ) -> None:
        if (context.isinsert or context.isupdate or context.isdelete) and cursor.rowcount != 0:
            self._here.wrote = True

    def _commits(self, _connection: Connection) -> None:
        here = self._here
        if getattr(here, "wrote", False):
            if here.committed:
                come_by(f"after the commit of {here.name}")
            come_by(f"before the commit of {here.name}")
            here.wrote, here.committed = False, True


class ReportingClient(HttpClient):
    """Notes two points for each call, also for one that fails."""

    async def ask(self, call: Call) -> Response:
        what = f"{call.method} {urlsplit(call.url).path}"
        come_by(f"before the call {what}")
        try:
            return await super().ask(call)
        finally:
            come_by(f"after the call {what}")


def come_by(point: str) -> None:
    """Note the point, and die where it is the chosen one. All processes of a worker share the count."""
    with Path(os.environ["DYING_LOG"]).open("a+") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        log.seek(0)
        times = log.read().splitlines().count(point) + 1
        log.write(f"{point}\n")
        log.flush()
        if point in os.environ.get("DYING_AT", "").splitlines() and times == int(
            os.environ.get("DYING_NTH", "1")
        ):
            log.write(f"{DIED}{point}\n")
            log.flush()
            _die()


def _die() -> None:
    """Kill the leader first, which would start the others again, and the holder of the log's lock last."""
    leader, me = os.getsid(0), os.getpid()
    for pid in [leader, *(living_in(leader) - {leader, me}), me]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
