"""Two minutes in which everything breaks that can. Then every invariant holds, and every alert fires by its cause."""

import os
import random
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos.alarms import prove_alerts
from tests.chaos.cluster import started_cluster
from tests.chaos.monkey import Monkey
from tests.chaos.prometheus import prometheus
from tests.chaos.receivers import receivers
from tests.chaos.report import report, timed
from tests.chaos.scene import settle_after_faults
from tests.processes.nursery import Nursery
from tests.simulation.invariants import violations

#: Machines' clocks are off all the time.
ALWAYS = ""
#: Cause → the alert that it fires under injected faults. tests/chaos/causes.py has a cause for each alert, after it.
ALERTED = {ALWAYS: "OrchestratorMachineClockOff", "Redis gone for long": "OrchestratorBrokerSilent"}
SECONDS = float(os.environ.get("SECONDS", "150"))
SEED = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
REPORT = Path(os.environ.get("CHAOS_REPORT", "chaos-report.md")).resolve()


@pytest.mark.timeout(SECONDS + 1500)
def test_whatever_breaks_nothing_leaks_and_nothing_is_lost(nursery: Nursery, keeps_logs: Path) -> None:
    sys.stderr.write(f"chaos: SEED={SEED} SECONDS={SECONDS:g}, logs in {keeps_logs}" + "\n")
    with ExitStack() as stack:
        hooks = stack.enter_context(receivers())
        cluster = stack.enter_context(started_cluster(keeps_logs, nursery))
        cluster.send_events_to(hooks)
        cluster.ask_a_canary()
        server = stack.enter_context(prometheus(keeps_logs / "prometheus", cluster.serve_metrics()))
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
        load = cluster.load(clients=5, seed=SEED, wait_limit=5)
        load.start()
        began, first = time.monotonic(), datetime.now(UTC)
        monkey.run(SECONDS)
        monkey.heal()
        last = datetime.now(UTC)
        load.stop()
        lasted = time.monotonic() - began
        with timed("until all is quiet"):
            load.close_all(cluster.queued())  # two at a time they would start for minutes
            cluster.until_quiet()
            hooks.until_all_arrived(cluster.platform.database)
        refused = hooks.faults(cluster.platform.database)
        fired = server.fired(first, last)
        evidence = cluster.evidence(load, monkey.troubles, flushes=monkey.flushes)
        broken = violations(evidence)
        peace = monkey.unexcused(first, last)
        written = report(f"Chaos, seed {SEED}", monkey.done, load, evidence, broken, lasted)
        seconds = sum((until - since).total_seconds() for since, until in peace)
        clocks = ", ".join(f"{name} {clock.ahead:+.0f} s" for name, clock in monkey.clocks.items())
        written += f"\nMachines' clocks were off all the time, at the end by: {clocks}.\n"
        written += f"\nFor {seconds:.0f} s of it no trouble excused a late stop.\n"
        written += f"\nWebhooks were asked: {hooks.asked}. Alerts that fired meanwhile: {', '.join(sorted(fired))}.\n"
        REPORT.write_text(written)
        (keeps_logs / "story.txt").write_text("\n".join(monkey.story))
        sys.stderr.write(written + "\n")
        assert broken == []
        assert refused == [], "webhooks"
        assert fired >= {alert for cause, alert in ALERTED.items() if cause in monkey.done or cause is ALWAYS}
        ends = [one.stopped_at for one in evidence.sessions.values() if one.stopped_at is not None]
        assert any(since < at < until for at in ends for since, until in peace), (
            "no stop was judged without an excuse"
        )
        assert len(evidence.sessions) > SECONDS / 4, "there was load"
        began = time.monotonic()
        with timed("until sessions run at every provider"):
            scene = settle_after_faults(cluster, monkey, hooks, server)
        false = prove_alerts(scene)
        sys.stderr.write(f"every alert has fired and ended, in {time.monotonic() - began:.0f} s\n")
    assert false == set(), "alerts that fired although all was well"
