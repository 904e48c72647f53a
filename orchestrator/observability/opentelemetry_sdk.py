"""The recorder of traces over OpenTelemetry's SDK. Import it only where traces are on: it needs the extra `otel`."""

from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from orchestrator import __version__
from orchestrator.observability.tracing import Attributes, ids_of

#: Seconds that the last spans of a process may take to be sent.
FLUSHED_WITHIN = 5.0
_root: ContextVar[tuple[int, int] | None] = ContextVar("ids of the root span", default=None)


class SessionIds(RandomIdGenerator):
    """Gives the root span of a session's trace the ids that follow from the session."""

    def generate_trace_id(self) -> int:
        ids = _root.get()
        return super().generate_trace_id() if ids is None else ids[0]

    def generate_span_id(self) -> int:
        ids = _root.get()
        return super().generate_span_id() if ids is None else ids[1]


class OpenTelemetryRecorder:
    """Sends spans to an exporter, by default over OTLP; the standard variables `OTEL_*` hold."""

    def __init__(self, process: str, exporter: SpanExporter | None = None) -> None:
        """`process`: the kind of process, such as `open` or `api`."""
        ours = Resource({"service.name": "orchestrator", "orchestrator.process": process})
        resource = ours.merge(OTELResourceDetector().detect())  # what the variables say comes first
        self._provider = TracerProvider(resource=resource, id_generator=SessionIds(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or _otlp()))
        self._tracer = self._provider.get_tracer("orchestrator", __version__)

    def record(
        self,
        name: str,
        session_id: str | None,
        times: tuple[int, int],
        attributes: Attributes,
        *,
        caller: str | None,
        is_first: bool,
        fault: str | None,
    ) -> None:
        """Record one span that has ended."""
        began, ended = times
        known = {**attributes, **({"orchestrator.session_id": session_id} if session_id else {})}
        token = _root.set(ids_of(session_id) if session_id and is_first else None)
        try:
            span = self._tracer.start_span(
                name,
                context=Context() if session_id is None or is_first else self._trace_of(session_id, name),
                attributes=known,
                links=_links(caller),
                start_time=began,
            )
        finally:
            _root.reset(token)
        if fault is not None:
            span.set_status(Status(StatusCode.ERROR, fault))
        span.end(ended)

    def close(self) -> None:
        """Send what is recorded, and stop."""
        self._provider.force_flush(int(FLUSHED_WITHIN * 1000))
        self._provider.shutdown()

    def _trace_of(self, session_id: str, name: str) -> Context:
        """Return the context of a session's root span, which any process may have recorded. It is sampled where a root
        of this trace would be."""
        trace_id, span_id = ids_of(session_id)
        decision = self._provider.sampler.should_sample(Context(), trace_id, name).decision
        flags = TraceFlags(
            TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT
        )
        parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
        return trace.set_span_in_context(NonRecordingSpan(parent), Context())


def _links(traceparent: str | None) -> list[Link]:
    carrier = {"traceparent": traceparent} if traceparent else {}
    context = TraceContextTextMapPropagator().extract(carrier, Context())
    caller = trace.get_current_span(context).get_span_context()
    return [Link(caller)] if caller.is_valid else []


def _otlp() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
