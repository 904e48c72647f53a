"""Two minutes in which everything breaks that can; then every invariant holds."""

import os
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.cluster import started_cluster
from tests.chaos.monkey import Monkey
from tests.chaos.receivers import receivers
from tests.chaos.report import report
from tests.chaos.scraper import Scraper
from tests.processes.nursery import Nursery
from tests.simulation.invariants import violations

#: Machines' clocks are off all the time.
ALWAYS = ""
#: Cause → the alert that it fires for a moment. tests/observability/stories.py has a story for each alert.
ALERTED = {ALWAYS: "OrchestratorMachineClockOff", "Redis gone for long": "OrchestratorBrokerSilent"}
SECONDS = float(os.environ.get("SECONDS", "150"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
REPORT = Path(os.environ.get("CHAOS_REPORT", "chaos-report.md")).resolve()


@pytest.mark.timeout(SECONDS + 1500)
def test_whatever_breaks_nothing_leaks_and_nothing_is_lost(nursery: Nursery, keeps_logs: Path) -> None:
    sys.stderr.write(f"chaos: SEED={SEED} SECONDS={SECONDS:g}, logs in {keeps_logs}" + "\n")
    with receivers() as hooks, started_cluster(keeps_logs, nursery) as cluster:
        cluster.send_events_to(hooks)
        scraper = Scraper(cluster.serve_metrics())
        monkey = Monkey(
            cluster.platform,
            cluster.valkey,
            cluster.postgres,
            cluster.to_database,
            cluster.to_broker,
            cluster.to_platforms,
            random.Random(SEED),
        )
        for kind in ("worker", "scheduler"):
            for number in (1, 2):
                monkey.start(kind, number)
        cluster.open_for_business()
        load = cluster.load(clients=5, seed=SEED, patience=5)
        load.start()
        scraper.start()
        began, first = time.monotonic(), datetime.now(UTC)
        monkey.run(SECONDS)
        monkey.heal()
        last = datetime.now(UTC)
        load.stop()
        lasted = time.monotonic() - began
        scraper.stop()
        load.close_all(cluster.queued())  # two at a time they would start for minutes
        cluster.until_quiet()
        hooks.until_all_arrived(cluster.platform.database)
        refused = hooks.faults(cluster.platform.database)
        held = scraper.held(keeps_logs)
        evidence = cluster.evidence(load, monkey.troubles, flushes=monkey.flushes)
        broken = violations(evidence)
        peace = monkey.unexcused(first, last)
        written = report(f"Chaos, seed {SEED}", monkey.done, load, evidence, broken, lasted)
        seconds = sum((until - since).total_seconds() for since, until in peace)
        clocks = ", ".join(f"{name} {clock.ahead:+.0f} s" for name, clock in monkey.clocks.items())
        written += f"\nMachines' clocks were off all the time, at the end by: {clocks}.\n"
        written += f"\nFor {seconds:.0f} s of it no trouble excused a late stop.\n"
        written += f"\nWebhooks were asked: {hooks.asked}. Alerts that held for a moment: {', '.join(sorted(held))}.\n"
        REPORT.write_text(written)
        (keeps_logs / "story.txt").write_text("\n".join(monkey.story))
        sys.stderr.write(written + "\n")
    assert broken == []
    assert refused == [], "webhooks"
    assert held >= {alert for cause, alert in ALERTED.items() if cause in monkey.done or cause is ALWAYS}
    ends = [one.stopped_at for one in evidence.sessions.values() if one.stopped_at is not None]
    assert any(since < at < until for at in ends for since, until in peace), (
        "no stop was judged without an excuse"
    )
    assert len(evidence.sessions) > SECONDS / 4, "there was load"
