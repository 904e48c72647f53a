"""What libraries import only because it is installed. No process of ours that runs for long uses it, and it takes 8 MiB
of the scheduler's memory."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

#: httpx has a command line of its own (rich, pygments), structlog draws stack traces that we leave plain (rich), redis
#: measures itself (opentelemetry), kombu reads YAML. Each does without where it is not installed.
_UNUSED = ("opentelemetry", "pygments", "rich", "yaml")


@contextmanager
def without_unused_parts() -> Iterator[None]:
    """Import libraries within it as if these were not installed. Later imports find them: traces need opentelemetry."""
    absent = [name for name in _UNUSED if name not in sys.modules]
    sys.modules |= dict.fromkeys(absent)  # type: ignore[arg-type]  # None: there is no such module
    try:
        import_module("redis")  # else it would look for them later, when the broker is reached
        yield
    finally:
        for name in absent:
            del sys.modules[name]
