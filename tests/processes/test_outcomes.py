"""The outcome of a job, where the broker that should hand it over is gone."""

from types import SimpleNamespace
from typing import Any

from celery.app.trace import build_tracer
from redis import ConnectionError as Gone

from orchestrator.settings import Settings
from orchestrator.tasks.app import make_app
from orchestrator.tasks.jobs import Results


class Backend:
    """Loses its connection whenever something is to be stored."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def mark_as_done(self, *_: Any, **__: Any) -> None:
        raise Gone("closed by server")

    def mark_as_failure(self, task_id: str, *_: Any, **__: Any) -> None:
        self.failures.append(task_id)

    def process_cleanup(self) -> None:
        """Nothing is held."""


def test_a_job_whose_outcome_cannot_be_handed_over_has_not_failed(sqlite_url: str) -> None:
    settings = Settings(database_url=sqlite_url, broker_url="redis://127.0.0.1:1/0")
    app, process = make_app(settings)
    name = "orchestrator.session.close"
    task: Any = app.tasks[name]
    backend = Backend()
    assert isinstance(task.backend, Results)
    task.backend = Results(SimpleNamespace(backend=backend))
    request = {"id": "job-1", "delivery_info": {"is_eager": False}, "root_id": "job-1"}
    trace: Any = build_tracer(name, task, app=app)
    done = trace("job-1", [], {"session_id": "nobody"}, request)
    process.close()
    assert done.retval["error"]["code"] == "unknown_session"
    assert backend.failures == []
