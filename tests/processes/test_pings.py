"""A ping task handles its batch concurrently, and a stop does not wait for it."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from orchestrator.rules.states import Step
from orchestrator.rules.values import Due
from orchestrator.store.transaction import Transaction
from tests.processes.platform import Platform, morpheus, openai
from tests.waiting import eventually

DUE = 500
#: Seconds that each endpoint takes to answer, and in which the whole batch must be pinged.
SLOW, LIMIT = 1, 20.0
#: Seconds after its deadline by which a stop must be proven.
CLOSED_WITHIN = 15.0


def multiply(
    platform: Platform, session_id: str, times: int, due: datetime, prefix: str = "copy"
) -> list[str]:
    """Multiply this running session, with pings due at `due`; it is one of them."""
    session, placement = platform.session(session_id), platform.placements(session_id)[0]
    ids = [session_id, *(f"{prefix}-{n}" for n in range(1, times))]
    due_now = replace(session, ping_at=due, due=Due(Step.PING, due), revision=0)

    def insert(tx: Transaction) -> None:
        current = tx.sessions.lock(session_id)
        assert current is not None
        now_due = replace(current, ping_at=due, due=Due(Step.PING, due))
        tx.sessions.save(current, now_due)
        for copy in ids[1:]:
            tx.sessions.insert(replace(due_now, id=copy, name=copy))
            tx.placements.insert(replace(placement, id=f"p-{copy}", session_id=copy, handle=copy, revision=0))

    platform.database.transact(insert)
    return ids


def test_five_hundred_slow_pings_take_seconds_and_hold_up_no_stop(
    platform: Platform, record_property: Callable[[str, object], None]
) -> None:
    simulator = platform.simulate(alpha=openai("sk-alpha"), morph=morpheus("sk-m1"))
    patient = {"ping_interval_seconds": 30, "ping_timeout_seconds": 30}
    platform.configure(patient, alpha={"max_in_flight": DUE})
    platform.start("worker")
    platform.start("scheduler")
    platform.open_account(plan="contract", amount="1000000")
    platform.put_model("llama", {"alpha": "llama-3"})
    platform.put_model("moral", {"morph": "moral-1"})
    first = platform.create_session("llama")
    platform.until_running(first)
    simulator.fault("slow", upstream="alpha", operation="chat", params={"seconds": SLOW})

    stopping = platform.create_session("moral", stop={"max_duration_seconds": 4})
    platform.until_running(stopping)
    deadline = platform.session(stopping).stop_at
    assert deadline is not None
    due = deadline - timedelta(seconds=0.5)
    batch = set(multiply(platform, first, DUE, due))

    def pinged() -> list[datetime]:
        reported = (session.last_ping_at for session in platform.sessions() if session.id in batch)
        return [at for at in reported if at is not None and at > due]

    eventually(lambda: len(pinged()) == DUE, "every ping")
    took = (max(pinged()) - due).total_seconds()
    platform.until_over(stopping)
    proven_at = platform.placements(stopping)[0].ended_at
    assert proven_at is not None
    lag = (proven_at - deadline).total_seconds()
    sys.stdout.write(
        f"FIGURE: {DUE} pings of {SLOW} s each took {took:.2f} s, a stop meanwhile {lag:.2f} s\n"
    )
    record_property("pings_took_seconds", took)
    record_property("close_lag_seconds", lag)
    assert took < LIMIT
    assert lag < CLOSED_WITHIN
    assert {session.last_verdict for session in platform.sessions() if session.id in batch} == {"ALIVE"}
    chats = [call for call in simulator.calls(upstream="alpha", operation="chat") if call["fault"]]
    assert len(chats) == DUE, "each was pinged once"
