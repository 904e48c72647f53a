"""A worker that may open few files runs fewer calls at once, says so, and ends no session for it."""

from datetime import datetime, timedelta

from tests.processes.platform import OURS, Platform, openai
from tests.processes.test_pings import multiply
from tests.waiting import eventually

SESSIONS, FILES = 300, 160


def test_few_open_files_end_no_session(platform: Platform) -> None:
    simulator = platform.simulate(alpha=openai("sk-alpha"))
    policy = {"ping_interval_seconds": 5, "ping_timeout_seconds": 10, "dead_after_seconds": 5}
    platform.configure(policy, alpha={"max_in_flight": SESSIONS})
    worker = platform.run(["bash", "-c", f"ulimit -n {FILES}; exec {' '.join(OURS)} worker"], name="worker")
    platform.start("scheduler")
    platform.open_account(plan="contract", amount="1000000")
    platform.put_model("llama", {"alpha": "llama-3"})
    first = platform.create_session("llama")
    platform.until_running(first)
    simulator.fault("slow", upstream="alpha", operation="chat", params={"seconds": 1})
    with platform.database.reading() as tx:
        begun = tx.now()
    sessions = multiply(platform, first, SESSIONS, begun)

    def pinged_since(since: datetime) -> int:
        reported = (session.last_ping_at for session in platform.sessions())
        return sum(at is not None and at > since for at in reported)

    eventually(lambda: pinged_since(begun) == SESSIONS, "a ping of each")
    with platform.database.reading() as tx:
        again = tx.now() + timedelta(seconds=1)
    eventually(lambda: pinged_since(again) == SESSIONS, "and another")
    assert {session.state for session in platform.sessions()} == {"running"}
    assert len(sessions) == SESSIONS
    assert f"need {96 + 2 * SESSIONS} open files, and the limit is {FILES}" in worker.text()
