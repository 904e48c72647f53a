"""Two minutes in which everything breaks that can; then every invariant holds."""

import os
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.city import city
from tests.chaos.monkey import Monkey
from tests.chaos.report import report
from tests.processes.nursery import Nursery
from tests.simulation.invariants import violations

SECONDS = float(os.environ.get("SECONDS", "150"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
REPORT = Path(os.environ.get("CHAOS_REPORT", "chaos-report.md")).resolve()


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 1500)
def test_whatever_breaks_nothing_leaks_and_nothing_is_lost(nursery: Nursery, keeps_logs: Path) -> None:
    sys.stderr.write(f"chaos: SEED={SEED} SECONDS={SECONDS:g}, logs in {keeps_logs}" + "\n")
    with city(keeps_logs, nursery) as town:
        monkey = Monkey(
            town.platform,
            town.valkey,
            town.postgres,
            town.to_database,
            town.to_broker,
            town.to_platforms,
            random.Random(SEED),
        )
        for kind in ("worker", "scheduler"):
            for number in (1, 2):
                monkey.start(kind, number)
        town.open_for_business()
        load = town.load(clients=5, seed=SEED, patience=5)
        load.start()
        began, first = time.monotonic(), datetime.now(UTC)
        monkey.run(SECONDS)
        monkey.heal()
        last = datetime.now(UTC)
        load.stop()
        lasted = time.monotonic() - began
        load.close_all(town.queued())  # two at a time they would start for minutes
        town.until_quiet()
        evidence = town.evidence(load, monkey.troubles, flushes=monkey.flushes)
        broken = violations(evidence)
        peace = monkey.unexcused(first, last)
        written = report(f"Chaos, seed {SEED}", monkey.done, load, evidence, broken, lasted)
        seconds = sum((until - since).total_seconds() for since, until in peace)
        clocks = ", ".join(f"{name} {clock.ahead:+.0f} s" for name, clock in monkey.clocks.items())
        written += f"\nMachines' clocks were off all the time, at the end by: {clocks}.\n"
        written += f"\nFor {seconds:.0f} s of it no trouble excused a late stop.\n"
        REPORT.write_text(written)
        (keeps_logs / "story.txt").write_text("\n".join(monkey.story))
        sys.stderr.write(written + "\n")
    assert broken == []
    ends = [one.stopped_at for one in evidence.sessions.values() if one.stopped_at is not None]
    assert any(since < at < until for at in ends for since, until in peace), (
        "no stop was judged without an excuse"
    )
    assert len(evidence.sessions) > SECONDS / 4, "there was load"
