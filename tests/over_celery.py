"""A small world behind a real broker: jobs that are sent there are performed in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.contrib.testing.worker import start_worker

from orchestrator.client import JOBS, celery_options
from orchestrator.flows.jobs.perform import perform
from orchestrator.tasks.jobs import author_of
from tests.world import World


@contextmanager
def serving(world: World, url: str) -> Iterator[None]:
    """Perform the jobs that arrive there."""
    celery: Celery = Celery("worker", broker=url, backend=url, set_as_current=False)
    celery.conf.update(celery_options(), worker_pool="solo", worker_hijack_root_logger=False)
    for name in JOBS:
        celery.task(name=name, bind=True, shared=False, ignore_result=False)(_job(world, name))
    with start_worker(celery, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        yield
    celery.close()


def _job(world: World, name: str) -> Callable[..., dict[str, Any]]:
    def job(task: Any, **kwargs: Any) -> dict[str, Any]:
        return perform(world.services, task.request.id, name, kwargs, author=author_of(task))

    return job
