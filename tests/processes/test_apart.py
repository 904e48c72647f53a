"""What runs in a process of its own leaves nothing here but its error."""

import os
import signal
import subprocess
import sys

import pytest

from orchestrator.processes.apart import run_apart
from orchestrator.settings import ConfigurationError, Fault
from tests.waiting import eventually


def test_its_imports_and_values_stay_there() -> None:
    seen: list[int] = []
    run_apart(lambda: seen.append(os.getpid()))
    assert seen == []


def test_its_error_is_raised_here_with_every_fault() -> None:
    fault = Fault(("providers", "alpha"), "is wrong")

    def work() -> None:
        raise ConfigurationError([fault])

    with pytest.raises(ConfigurationError) as raised:
        run_apart(work)
    assert raised.value.faults == (fault,)


def test_an_error_that_cannot_be_copied_is_told_by_its_kind() -> None:
    class OfThisTest(Exception):
        pass

    def work() -> None:
        raise OfThisTest

    with pytest.raises(RuntimeError, match="OfThisTest"):
        run_apart(work)


def test_an_early_end_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended early"):
        run_apart(lambda: os._exit(3))


def test_it_ends_with_the_process_that_waits_for_it() -> None:
    code = (
        "import os, time\nfrom orchestrator.processes.apart import run_apart\n"
        "def work():\n    print(os.getpid(), flush=True)\n    time.sleep(600)\nrun_apart(work)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(timeout=20) == -signal.SIGTERM
        eventually(lambda: not _runs(child), "the end of its child")


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
