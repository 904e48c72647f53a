"""A task that takes keyword arguments of any name, since other services choose them."""

from typing import Any

from celery import Task


class AnyArguments(Task):  # type: ignore[type-arg]
    """A task without a parameter named `self`: Celery's own call has one, which clashes with an argument of that
    name."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the task. The worker has already set up its request."""
        return self.run(*args, **kwargs)
