"""What pings cost is saved about once a second while pings are under way, and whole once none is."""

from datetime import timedelta

from orchestrator.flows.engine.metering import SentPings, WaitingCounts
from orchestrator.providers.port.driver import Probe
from orchestrator.rules.values import Verdict

PROBE = Probe(verdict=Verdict.ALIVE, latency_ms=5, detail="")


def sent(probes: int, *began: timedelta) -> SentPings:
    return SentPings(probes=[PROBE] * probes, began=began)


def test_what_came_back_within_a_second_of_a_save_waits_and_is_saved_together() -> None:
    counts = WaitingCounts()
    counts.add({"alpha": sent(2)})
    assert counts.take(at_once=False) == {"alpha": SentPings(probes=[PROBE] * 2, began=[])}

    second = timedelta(seconds=1)
    counts.add({"alpha": sent(1, second), "beta": sent(3)})
    assert counts.take(at_once=False) == {}
    counts.add({"alpha": sent(2, 2 * second)})
    assert counts.take(at_once=True) == {
        "alpha": SentPings(probes=[PROBE] * 3, began=[second, 2 * second]),
        "beta": SentPings(probes=[PROBE] * 3, began=[]),
    }


def test_nothing_is_saved_twice() -> None:
    counts = WaitingCounts()
    counts.add({"alpha": sent(1)})
    assert counts.take(at_once=True)
    assert counts.take(at_once=True) == {}
