"""Play a hypothesis state machine until what it is about has happened often enough to prove something."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

#: Runs that are made at most. One is usually enough; a seed may leave out what is rare.
RUNS = 5


def play_lives(
    machine: type[RuleBasedStateMachine],
    lives: settings,
    find_rare: Callable[[], Mapping[str, int]],
    config: pytest.Config,
) -> None:
    """Run the machine until `find_rare` (what was seen too seldom, over all runs so far) is empty.

    With `--hypothesis-seed`, and where hypothesis draws the same each time (`derandomize`, its default where the
    variable CI is set), each run has a seed of its own: with one seed for all, each run would repeat the first. Raises
    AssertionError where something is still too rare after the last run.
    """
    given = config.getoption("--hypothesis-seed")
    if given is None and lives.derandomize:
        given = machine.__qualname__
    rare: Mapping[str, int] = {}
    for run in range(RUNS):
        if given is not None:
            machine = seed(f"{given}, run {run}")(machine)
        run_state_machine_as_test(machine, settings=lives)
        rare = find_rare()
        if not rare:
            return
    raise AssertionError(f"too rare to prove anything: {dict(rare)}")


def too_rare(seen: Mapping[str, int], least: Mapping[str, int]) -> dict[str, int]:
    """Return what was seen less often than it must have happened."""
    return {what: seen.get(what, 0) for what, times in least.items() if seen.get(what, 0) < times}
