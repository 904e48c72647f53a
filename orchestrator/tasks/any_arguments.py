"""A task with keyword arguments of any name: they come from other services."""

from typing import Any

from celery import Task


class AnyArguments(Task):  # type: ignore[type-arg]
    """Celery's own call has a parameter `self`, with which an argument of that name clashes."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Carry it out. The worker has made the request that it belongs to."""
        return self.run(*args, **kwargs)
