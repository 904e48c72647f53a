"""The result store keeps the last outcome of a task id, at the cost of one round trip."""

import pytest
from redis import Redis

from orchestrator.settings import Settings
from orchestrator.tasks.app import make_app
from orchestrator.tasks.jobs import Results


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Celery calls what its Redis client deprecates
def test_the_last_outcome_replaces_an_earlier_one_without_a_question(
    sqlite_url: str, valkey_url: str
) -> None:
    app, process = make_app(Settings(database_url=sqlite_url, broker_url=valkey_url))
    results = Results(app)
    with Redis.from_url(valkey_url) as redis:
        for n in (1, 2):
            results.mark_as_done("job-1", {"ok": True, "result": {"n": n}})
        assert app.backend.get_task_meta("job-1")["result"] == {"ok": True, "result": {"n": 2}}
        asked = redis.info("commandstats")
    process.close()
    app.close()
    assert asked["cmdstat_get"]["calls"] == 1, "that of this test"
    assert "cmdstat_del" not in asked
    assert asked["cmdstat_publish"]["calls"] == 2


def test_an_outcome_that_nobody_waits_for_is_not_kept(sqlite_url: str, valkey_url: str) -> None:
    app, process = make_app(Settings(database_url=sqlite_url, broker_url=valkey_url))
    with Redis.from_url(valkey_url) as redis:
        Results(app).mark_as_done("job-1", {"ok": True}, None, False)
        assert redis.keys("celery-task-meta-*") == []
    process.close()
    app.close()
