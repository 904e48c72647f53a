"""The same race over real Celery workers, with a broker between them and the clients."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.processes.conftest import nursery, platform, platform_on, pytest_runtest_makereport
from tests.processes.platform import Platform, openai

__all__ = ["nursery", "platform", "platform_on", "pytest_runtest_makereport"]


@pytest.mark.timeout(600)
def test_of_200_creates_over_8_workers_20_are_kept_and_2_started(platform: Platform) -> None:
    platform.simulate(alpha=openai("sk-alpha"))
    platform.configure()
    for n in range(8):
        platform.start("worker", "--pool", "control", name=f"worker-{n}")
    platform.open_account()
    platform.put_model("llama", {"alpha": "llama-3"})

    def send(n: int) -> str:
        asked = {"account_id": "acme", "model_id": "llama", "session_id": f"s{n:03}", "on_quota": "queue"}
        return platform.jobs.send("session.create", **asked)

    with ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(send, range(200)))
    outcomes = [platform.jobs.outcome(task_id) for task_id in sent]
    refused = Counter(outcome["error"]["code"] for outcome in outcomes if not outcome["ok"])
    assert refused == {"quota_total_exceeded": 180}
    assert Counter(session.state for session in platform.sessions()) == {"starting": 2, "queued": 18}
