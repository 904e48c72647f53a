"""How a process ends after its Celery worker ended by itself: at once, within one deadline, and its row says why."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery

from orchestrator.rules.states import State
from orchestrator.rules.values import Worker
from orchestrator.store.database import Database
from orchestrator.tasks.draining import CALLS_END_WITHIN, Drain
from orchestrator.tasks.intake import GuardedConsumer
from orchestrator.tasks.liveness import Heartbeat, Pulse
from orchestrator.tasks.outage import Outage
from orchestrator.tasks.run_pool import end
from orchestrator.tasks.runner import Runners
from orchestrator.tasks.ticks import Tick, TickContext
from orchestrator.tasks.worker import DrainingWorker, pool_that_drains
from tests.processes.platform import Platform, openai
from tests.waiting import eventually

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::celery.exceptions.SecurityWarning"
)  # celery's own
RUNNERS = 11


@pytest.fixture
def database(sqlite_url: str) -> Iterator[Database]:
    database = Database(sqlite_url)
    yield database
    database.dispose()


class Ending:
    """A process with hanging runners, and the calls that its end makes."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.runs = 0
        ticks = {str(n): Tick(kind="ping", every_seconds=1, run=self._hang) for n in range(RUNNERS)}
        around: Any = None
        self.runners = Runners("ping", lambda: around, Outage(), Pulse("ping"), ticks=ticks)

    def _hang(self, _around: TickContext) -> int:
        self.runs += 1
        self.gate.wait(60)
        return 0

    def leave(self) -> None:
        self.calls.append("leave")
        self.runners.leave()

    def close(self) -> None:
        self.calls.append("close")


def rows(database: Database) -> list[Worker]:
    with database.reading() as tx:
        return list(tx.workers.listed())


@pytest.mark.parametrize(("code", "faults"), [(0, []), (1, ["Celery's worker: ValueError"])])
def test_the_row_of_a_worker_that_failed_stays_and_names_the_fault(
    database: Database, code: int, faults: list[str]
) -> None:
    process: Any = Ending()
    heartbeat = Heartbeat(lambda: database, Pulse("ping"))
    heartbeat.beat()
    process.gate.set()
    process.runners.start()
    assert end(process, heartbeat, Drain(), code, ValueError("sk-1") if code else None) == code
    assert [row.last_fault for row in rows(database)] == faults
    assert process.calls == ["leave", "close"]


def test_all_runners_share_one_deadline(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process: Any = Ending()
    process.runners.start()
    while process.runs < RUNNERS:
        time.sleep(0.01)
    drain, deadlines = Drain(), []

    def left(within: float) -> float:
        deadlines.append(Drain.left(drain, within) + time.monotonic())
        return 0.0

    monkeypatch.setattr(drain, "left", left)
    end(process, Heartbeat(lambda: database, Pulse("ping")), drain, 1, None)
    assert len(deadlines) == RUNNERS
    assert max(deadlines) - min(deadlines) < CALLS_END_WITHIN / 2, "the time is counted from one instant"
    assert f"{RUNNERS} runs are still under way" in caplog.text
    process.gate.set()


def test_a_drain_that_has_begun_counts_from_there() -> None:
    drain = Drain()
    assert drain.left(17) == 17
    drain.begin()
    first = drain.left(17)
    time.sleep(0.01)
    drain.begin()
    assert drain.left(17) < first <= 17


def test_a_consumer_that_cannot_go_on_ends_its_worker_which_keeps_the_fault() -> None:
    class Fails(GuardedConsumer):
        def start(self) -> None:
            raise ValueError("not enough values to unpack")

    app = Celery(broker="memory://", set_as_current=False)
    app.conf.update(worker_consumer=Fails, worker_enable_remote_control=False)
    calls: list[str] = []
    drain = Drain()
    pool = pool_that_drains(drain, lambda: calls.append("leave"))
    worker = DrainingWorker(
        app=app, pool=pool, concurrency=1, without_gossip=True, without_mingle=True, quiet=True
    )
    worker.start()
    assert (worker.exitcode, type(worker.fault), calls) == (1, ValueError, ["leave"])
    assert drain.left(17) < 17


def test_a_process_that_loses_its_event_loop_ends_and_is_started_again(platform: Platform) -> None:
    platform.simulate(alpha=openai("sk-alpha"))
    platform.configure()
    losing = platform.directory / "losing"
    worker = platform.start("worker", module="tests.processes.losing", LOSING=str(losing))
    platform.start("scheduler")
    platform.open_account()
    platform.put_model("llama", {"alpha": "llama-3"})
    session_id = platform.create_session("llama")
    platform.until_running(session_id)
    losing.touch()
    eventually(lambda: not losing.exists(), "a ping that ends the loop")
    with platform.database.reading() as tx:
        lost_at = tx.now()
    eventually(lambda: "the event loop ended (SystemExit)" in worker.text(), "its last words")
    eventually(
        lambda: (platform.session(session_id).last_alive_at or lost_at) > lost_at, "a ping of the next one"
    )
    assert platform.session(session_id).state is State.RUNNING
    assert "the event loop: SystemExit" in {row.last_fault for row in rows(platform.database)}
