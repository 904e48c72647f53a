"""Send jobs and read their outcomes on an event loop. Celery blocks, so threads of the client's own call it."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from orchestrator.client.base import Request
from orchestrator.client.job_methods import TIMEOUT, AwaitJob, JobMethod, JobMethods, R, T
from orchestrator.client.sender import JobClient, pauses

Returned = TypeVar("Returned")

#: Threads that send, and that look for outcomes. A look takes about a millisecond.
_THREADS = 8


class AsyncJobClient(JobMethods):
    """Sends jobs to the orchestrator behind these two URLs, on one event loop."""

    def __init__(
        self,
        broker_url: str,
        result_url: str,
        *,
        sentinel_master: str | None = None,
        author: str | None = None,
    ) -> None:
        """Keep the URLs. `author`: who sends the jobs, for the history of sessions, at most 100 characters."""
        self._jobs = JobClient(broker_url, result_url, sentinel_master=sentinel_master, author=author)
        # A reply over rpc:// comes to the thread that sent the job.
        threads = 1 if result_url.startswith("rpc:") else _THREADS
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="orchestrator-client")

    async def check(self) -> None:
        """Raise BrokerUnreachable where the broker does not answer."""
        await self._in_thread(self._jobs.check)

    async def send(self, name: str, kwargs: Request | Mapping[str, Any], task_id: str | None = None) -> str:
        """Enqueue a job and return its task id, as `JobClient.send` does."""
        return await self._in_thread(lambda: self._jobs.send(name, kwargs, task_id))

    async def wait(self, task_id: str, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109
        """Return the outcome, or None if there is none after `timeout` seconds. Raises JobBroken."""
        give_up_at = time.monotonic() + timeout
        for pause in pauses():
            found = await self._in_thread(lambda: self._jobs.wait(task_id, 0))
            left = give_up_at - time.monotonic()
            if found is not None or left <= 0:
                return found
            await asyncio.sleep(min(pause, left))
        raise AssertionError("pauses have no end")

    async def call(
        self,
        name: str,
        kwargs: Request | Mapping[str, Any],
        timeout: float = TIMEOUT,  # noqa: ASYNC109
        task_id: str | None = None,
    ) -> dict[str, Any] | None:
        """Send and wait."""
        return await self.wait(await self.send(name, kwargs, task_id), timeout)

    def method_for(self, method: JobMethod[R, T]) -> AwaitJob[R, T]:
        """Return the function that sends this job and waits for its result."""

        async def job(
            request: R | None = None,
            /,
            *,
            timeout: float = TIMEOUT,  # noqa: ASYNC109
            task_id: str | None = None,
            **fields: Any,
        ) -> T:
            sent = await self.send(method.name, method.arguments(request, fields), task_id)
            return method.result(await self.wait(sent, timeout), sent, timeout)

        return job

    async def close(self) -> None:
        """Close the connections."""
        await self._in_thread(self._jobs.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _in_thread(self, work: Callable[[], Returned]) -> Returned:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
