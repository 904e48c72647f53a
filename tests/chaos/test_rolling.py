"""A deploy: workers and schedulers are restarted one by one under load, without visible effect."""

import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.rules.states import PlacementState, StopReason
from tests.chaos.cluster import Cluster, started_cluster
from tests.chaos.report import report
from tests.processes.nursery import Nursery
from tests.simulation.invariants import violations
from tests.waiting import eventually

ROUNDS = 2


@pytest.mark.timeout(900)
def test_a_rolling_restart_loses_nothing_and_doubles_nothing(nursery: Nursery, keeps_logs: Path) -> None:
    with started_cluster(keeps_logs, nursery) as cluster:
        for kind in ("worker", "scheduler"):
            for number in (1, 2):
                cluster.platform.start(kind, name=f"{kind}-{number}.0")
        cluster.open_for_business()
        load = cluster.load(clients=4, seed=1, wait_limit=120)
        load.start()
        began = time.monotonic()
        for generation in range(1, ROUNDS + 1):
            for kind, number in (("worker", 1), ("scheduler", 1), ("worker", 2), ("scheduler", 2)):
                restart(cluster, f"{kind}-{number}", generation)
        load.stop()
        lasted = time.monotonic() - began
        cluster.until_quiet()
        evidence = cluster.evidence(load)
    broken = violations(evidence)
    restarts = Counter({"restarts": 4 * ROUNDS})
    sys.stderr.write(report("Rolling restarts", restarts, load, evidence, broken, lasted) + "\n")
    assert broken == []
    assert load.asked_again == 0, "no message was lost"
    reasons = {session.stop_reason for session in evidence.sessions.values()}
    assert reasons <= {
        StopReason.USER,
        StopReason.MAX_DURATION,
        StopReason.MAX_INTERACTIONS,
        StopReason.QUEUE_TIMEOUT,
    }
    unknown = [p.id for p in evidence.placements if p.state is PlacementState.NEVER_OPENED and p.sent_at]
    assert unknown == [], "no open was cut off on the wire"


def restart(cluster: Cluster, name: str, generation: int) -> None:
    """Start the new one before the old one gets its SIGTERM, as a platform's deploy does."""
    old = cluster.platform.processes[f"{name}.{generation - 1}"]
    kind = name.partition("-")[0]
    new = cluster.platform.start(kind, name=f"{name}.{generation}")
    ready = (
        (lambda: new.text().count(" ready.") == 5) if kind == "worker" else (lambda: "started" in new.text())
    )
    eventually(ready, f"{name} is ready")
    old.send_signal(signal.SIGTERM)
    assert old.wait() == 0
    assert "did not finish in time" not in old.text()
    assert "leases expire" not in old.text()
