"""`orchestrator up`: everything in one process tree on SQLite and a private Valkey, started and stopped at will."""

import os
import signal
from decimal import Decimal
from pathlib import Path

import pytest

from tests.processes.conftest import PlatformOn
from tests.processes.platform import OURS, Platform, Running, morpheus
from tests.upstreams import KIND
from tests.waiting import eventually

IS_UP = "orchestrator is up"


@pytest.fixture
def embedded(tmp_path: Path, platform_on: PlatformOn) -> Platform:
    """Return an empty directory."""
    return platform_on(f"sqlite:///{tmp_path}/platform/orchestrator.db")


def up(platform: Platform, name: str = "up") -> Running:
    running = platform.run([*OURS, "up"], name=name)
    eventually(lambda: IS_UP in running.text() or running.process.poll() is not None, "the platform is up")
    assert IS_UP in running.text()
    return running


def left(platform: Platform) -> set[int]:
    """Return processes of `up` that still live: all that work here but the simulator."""
    simulator = platform.processes.get("simulator")
    return platform.pids() - (simulator.tree() if simulator else set())


def test_what_falls_due_while_it_is_down_is_done_at_the_next_start(embedded: Platform) -> None:
    simulator = embedded.simulate(morph=morpheus("sk-m1"))
    embedded.configure(plans={"payg": {"billing_block_seconds": 1}}, morph={"close_retry_seconds": 0.05})
    running = up(embedded)
    second = embedded.run([*OURS, "up"], name="second")
    assert second.wait() == 2
    assert "another `orchestrator up` runs on" in second.text()
    assert "Traceback" not in second.text()

    embedded.open_account()
    price = {**KIND, "price_per_node_hour": "3.60"}
    embedded.done("model.put", id="moral", provider="morph", provider_model_id="moral-1", **price)
    session_id = embedded.create_session("moral", stop={"max_duration_seconds": 4})
    embedded.until_running(session_id)
    running.interrupt()
    assert running.wait() == 0
    assert "due work waits for the next start" in running.text()
    assert left(embedded) == set()
    session = embedded.session(session_id)
    assert session.state == "running"
    assert session.stop_at is not None
    with embedded.database.reading() as tx:
        eventually(lambda: tx.now() > session.stop_at, "its deadline, while no worker runs")  # type: ignore[operator]
    assert len(simulator.get("open")) == 1

    again = up(embedded, "again")
    embedded.until_over(session_id)
    over = embedded.session(session_id)
    assert (over.stop_reason, over.stopped_at) == ("max_duration", session.stop_at)
    assert over.charged == Decimal("0.004")
    assert simulator.get("open") == []
    again.interrupt()
    assert again.wait() == 0
    assert left(embedded) == set()


def test_its_children_leave_when_it_is_killed_and_a_dead_one_is_replaced(embedded: Platform) -> None:
    running = up(embedded)
    embedded.open_account()
    children = running.children()
    victim = min(children)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(running.children() - {victim}) == len(children), "another")
    embedded.open_account("other")
    running.send_signal(signal.SIGKILL)
    running.wait()
    eventually(lambda: not left(embedded), "the end of all that it had started, Valkey included")

    again = up(embedded, "again")
    embedded.open_account("third")
    again.send_signal(signal.SIGTERM)
    assert again.wait() == 0
    assert left(embedded) == set()
