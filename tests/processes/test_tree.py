"""A tree of processes, with targets that cost nothing to start."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.processes.tree import LONGEST_PAUSE, pause_after
from orchestrator.rules.installation.liveness import CONTROL, OPEN
from orchestrator.tasks.pools import POOLS
from tests.processes.platform import Running
from tests.waiting import eventually

SCRIPT = """
import os, signal, sys, time
from orchestrator.processes.tree import Tree

def say(what):
    os.write(1, f"{what} {os.getpid()}\\n".encode())

def finishes():
    signal.signal(signal.SIGTERM, lambda *_: (say("finished"), sys.exit(0)))
    say("started")
    while True:
        time.sleep(1)

def never_ends():
    signal.signal(signal.SIGTERM, lambda *_: say("asked"))
    say("started")
    while True:
        time.sleep(1)

def crashes():
    say("started")
    raise SystemExit(3)

HARM

targets = {name: globals()[name] for name in sys.argv[2:]}
sys.exit(Tree(targets, grace=float(sys.argv[1]), rests_on=rests_on).run())
"""
#: What may go wrong in the parent's loop while children run.
HARMS = {
    "nothing": "rests_on = lambda: True",
    "no descriptor is left": """
import resource, socket
def rests_on():
    resource.setrlimit(resource.RLIMIT_NOFILE, (6, 20000))
    try:
        return bool(socket.socket())
    finally:
        say("asked")
        if os.path.exists("enough"):
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, 20000))
""",
    "a defect": """
def rests_on():
    say("asked")
    raise RuntimeError("a defect")
""",
    "no memory": """
def rests_on():
    say("asked")
    raise MemoryError
""",
    "no process can start": """
fork, calls = os.fork, []
def refused():
    calls.append(1)
    if len(calls) in (3, 4):  # the first two start the first life
        say("asked")
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork, rests_on = refused, lambda: True
""",
    "no pause": """
pause = time.sleep
def refused(seconds):
    say("asked")
    raise OSError(22, "Invalid argument")
def rests_on():
    time.sleep = refused
    return True
""",
}


class Trees:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.running: list[Running] = []

    def start(self, *targets: str, grace: float = 60, harm: str = "nothing") -> Running:
        script = SCRIPT.replace("HARM", HARMS.get(harm, harm))
        command = [sys.executable, "-c", script, str(grace), *targets]
        running = Running.command("tree", command, {}, self._directory)
        self.running.append(running)
        eventually(lambda: running.text().count("started") >= len(targets), "all targets")
        return running


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    trees = Trees(tmp_path)
    yield trees
    for running in trees.running:
        running.kill_all()


def test_a_child_that_ends_is_started_again(trees: Trees) -> None:
    tree = trees.start("crashes", "finishes")
    eventually(lambda: tree.text().count("started") >= 3, "the second life")
    assert "process crashes ended with 3; restarting it in 1 s" in tree.text()
    tree.send_signal(signal.SIGTERM)
    assert tree.wait() == 0


@pytest.mark.parametrize("harm", [name for name in HARMS if name != "nothing"])
def test_whatever_fails_in_the_parent_children_are_started_again_and_signals_stop_all(
    trees: Trees, tmp_path: Path, harm: str
) -> None:
    tree = trees.start("finishes", harm=harm)
    eventually(lambda: "asked" in tree.text() or "no process" in harm, "the fault")
    [child] = tree.children()
    os.kill(child, signal.SIGKILL)
    eventually(lambda: tree.text().count("asked") >= 2, "more of the fault, once the child is dead")
    (tmp_path / "enough").touch()
    eventually(lambda: tree.text().count("started") >= 2, "the child's second life")
    tree.send_signal(signal.SIGTERM)
    assert tree.wait() == 0
    assert tree.tree() == set()
    assert tree.text().count("trying again in") <= 20, "the log is bounded"


def test_what_cannot_be_gone_on_from_stops_all(trees: Trees) -> None:
    tree = trees.start("finishes", harm="def rests_on():\n    raise KeyboardInterrupt")
    assert tree.wait() in {1, -signal.SIGINT}
    assert "finished" in tree.text()
    assert tree.tree() == set()


@pytest.mark.parametrize("failures", [1, 2, 6, 7, 5000])
def test_a_pause_grows_to_the_longest_however_often_it_failed(failures: int) -> None:
    assert pause_after(failures) == min(2 ** (failures - 1), LONGEST_PAUSE)


def test_ctrl_c_reaches_the_parent_alone_and_children_finish(trees: Trees) -> None:
    tree = trees.start("finishes")
    tree.interrupt()
    assert tree.wait() == 0
    assert tree.text().count("finished") == 1
    assert tree.tree() == set()


def test_a_child_that_does_not_finish_in_time_is_killed(trees: Trees) -> None:
    tree = trees.start("finishes", "never_ends", grace=0.5)
    tree.send_signal(signal.SIGTERM)
    assert tree.wait() == 0
    assert "finished" in tree.text()
    assert "process never_ends did not finish in time" in tree.text()
    assert tree.tree() == set()


def test_a_second_signal_ends_all_at_once(trees: Trees) -> None:
    tree = trees.start("never_ends")
    tree.send_signal(signal.SIGTERM)
    eventually(lambda: "asked" in tree.text(), "the child is asked to finish")
    assert tree.process.poll() is None, "it has its time"
    tree.send_signal(signal.SIGTERM)
    assert tree.wait(30) == 0  # the grace is a minute
    assert tree.tree() == set()


def test_children_leave_when_their_parent_is_killed(trees: Trees) -> None:
    tree = trees.start("finishes", "never_ends", grace=1)
    tree.send_signal(signal.SIGKILL)
    tree.wait()
    eventually(lambda: "finished" in tree.text(), "a child that drains and leaves")
    eventually(lambda: not tree.tree(), "the end of the other one, once its grace is over")


def test_the_page_about_deploying_counts_the_kinds_of_work_and_their_connections() -> None:
    page = (Path(__file__).parents[2] / "docs/deploying.md").read_text()
    most = {kind: 2 * pool.connections for kind, pool in POOLS.items()}
    assert len(POOLS) == 5, "the page says five"
    assert f"*control* opens at most {most[CONTROL]} connections, *open* {most[OPEN]}, and" in page
    [other] = {count for kind, count in most.items() if kind not in {CONTROL, OPEN}}
    assert f"each other {other}: {sum(most.values())} in all" in page.replace("\n", " ")
    assert f"{sum(most.values())} for each `orchestrator worker` (five processes" in page
