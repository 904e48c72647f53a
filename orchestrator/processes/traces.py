"""Traces of one process, where they are on: the extra `otel` brings what records them."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from orchestrator.observability import tracing
from orchestrator.settings import ConfigurationError, Fault, Settings

#: What the extra brings.
NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def require_traces(settings: Settings) -> None:
    """Raise ConfigurationError where traces are on, and the extra is not installed."""
    if settings.traces and not all(map(_is_installed, NEEDED)):
        message = "traces need more packages: pip install 'session-orchestrator[otel]'"
        raise ConfigurationError([Fault(("ORCHESTRATOR_TRACES",), message)])


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


@contextmanager
def traced(settings: Settings, process: str) -> Iterator[None]:
    """Record traces meanwhile, where they are on. Call it after the fork."""
    if not settings.traces:
        yield
        return
    from orchestrator.observability.opentelemetry_sdk import OpenTelemetryRecorder

    tracing.record_with(OpenTelemetryRecorder(process))
    try:
        yield
    finally:
        tracing.close()
