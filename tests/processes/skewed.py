"""A command of ours on a machine of which only the wall clock is off.

platform.start("worker", module=SKEWED, **skewed(-7200))    # the main module of a process, two hours behind"""

import os
import time

import time_machine

from orchestrator.cli import main as ours

SKEWED = "tests.processes.skewed"
_AHEAD = "TEST_CLOCK_AHEAD"


def skewed(seconds: float) -> dict[str, str]:
    """The environment of such a process. `seconds`: how far its clock is ahead of the truth."""
    return {_AHEAD: str(seconds)}


def main() -> None:
    """Run the command line, and whatever it forks, under that clock."""
    time_machine.travel(time.time() + float(os.environ[_AHEAD]), tick=True).start()
    ours.main()
