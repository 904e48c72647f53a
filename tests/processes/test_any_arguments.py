"""A job's keyword arguments may have any name: none clashes with a parameter on the way to the job."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.app import trace

from orchestrator.client.options import NOOP
from orchestrator.client.requests import JOBS
from orchestrator.settings import Settings
from orchestrator.tasks.app import Process, make_app
from orchestrator.tasks.jobs import Results
from orchestrator.tasks.ticks import TICKS

#: Parameters of the callers of a job, in Celery and here.
NAMES = (
    *(
        "self",
        "args",
        "kwargs",
        "task",
        "request",
        "uuid",
        "name",
        "cls",
        "fun",
        "services",
        "task_id",
        "app",
    ),
    *("__call__", "__protected_call__", "options", "tx", "", "a b", "*", "/", "class"),
)


class Kept:
    """A result store that keeps the outcomes and failures that were put there."""

    def __init__(self) -> None:
        self.outcomes: list[dict[str, Any]] = []

    def forget(self, _task_id: str) -> None:
        """Forget everything before."""

    def mark_as_done(self, _task_id: str, outcome: dict[str, Any], *_: Any, **__: Any) -> None:
        self.outcomes.append(outcome)

    def process_cleanup(self) -> None:
        """Do nothing: nothing is held."""


@pytest.fixture
def worker(sqlite_url: str, tmp_path: Path) -> Iterator[tuple[Celery, Process]]:
    """Return the application, as Celery's worker changes its tasks before it calls them."""
    config = tmp_path / "orchestrator.toml"
    config.touch()
    app, process = make_app(
        Settings(database_url=sqlite_url, broker_url="redis://127.0.0.1:1/0", config=config)
    )
    trace.setup_worker_optimizations(app)
    yield app, process
    trace.reset_worker_optimizations(app)
    process.close()


def carried_out(app: Celery, name: str, kwargs: dict[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """Carry out such a message as a worker does; return the outcomes that its sender sees."""
    task: Any = app.tasks[name]
    kept = Kept()
    task.backend = Results(SimpleNamespace(backend=kept))
    job_id = f"{name}-{sorted(kwargs)}"
    request = {"id": job_id, "delivery_info": {"is_eager": False}, "root_id": job_id}
    build: Any = trace.build_tracer
    return build(name, task, app=app)(job_id, [], kwargs, request), kept.outcomes


@pytest.mark.parametrize("name", [*JOBS, NOOP])
def test_an_argument_of_any_name_is_answered_as_invalid(worker: tuple[Celery, Process], name: str) -> None:
    for key in NAMES:
        done, [outcome] = carried_out(worker[0], name, {key: 1, "session_id": "a"})
        assert done.info is None, f"{key}: {done}"
        assert (outcome["ok"], outcome["error"]["code"]) == (False, "invalid_request"), key
        assert "Traceback" not in str(outcome)


@pytest.mark.parametrize("name", TICKS)
def test_a_wake_up_ignores_an_argument_of_any_name(worker: tuple[Celery, Process], name: str) -> None:
    for key in NAMES:
        done, _ = carried_out(worker[0], name, {key: 1})
        assert (done.info, done.retval) == (None, None), key


def test_a_job_of_no_arguments_is_answered(worker: tuple[Celery, Process]) -> None:
    _, outcomes = carried_out(worker[0], NOOP, {})
    assert outcomes == [{"ok": True, "result": {}}]
