"""One trace for each session, from the job that creates it to its provider calls, whichever process records them."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from orchestrator.observability import tracing
from orchestrator.observability.opentelemetry_sdk import OpenTelemetryRecorder
from orchestrator.observability.tracing import ids_of
from orchestrator.processes import traces
from orchestrator.settings import ConfigurationError, Settings
from tests.world import MINUTE, World

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Recording:
    """What each of several processes has recorded."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self._exporter = InMemorySpanExporter()

    def begin(self, process: str) -> None:
        """Record as this process from now on."""
        self._exporter = InMemorySpanExporter()
        tracing.record_with(OpenTelemetryRecorder(process, self._exporter))

    def end(self) -> list[ReadableSpan]:
        """End the process, and return what all have recorded."""
        tracing.close()
        tracing.record_with(None)
        self.spans += self._exporter.get_finished_spans()
        return self.spans


@pytest.fixture
def recording() -> Iterator[Recording]:
    """Record nothing any more afterwards."""
    yield Recording()
    tracing.record_with(None)


def test_the_job_and_the_calls_of_a_session_are_one_trace_over_two_processes(
    world: World, recording: Recording
) -> None:
    recording.begin("control")
    with tracing.called_by(CALLER):
        session_id = world.create_session("moral")
    recording.end()
    recording.begin("open")
    world.settle()
    world.pass_time(MINUTE)
    world.done("session.close", session_id=session_id)
    world.settle()
    spans = recording.end()
    assert [span.name for span in spans] == [
        "orchestrator.session.create",
        "orchestrator.provider.open",
        "orchestrator.session.close",
        "orchestrator.provider.close",
    ], "no ping: there are thousands"
    trace_id, root_id = ids_of(session_id)
    assert {span.context.trace_id for span in spans} == {trace_id}
    root, *others = spans
    assert (root.parent, root.context.span_id) == (None, root_id)
    assert {span.parent.span_id for span in others if span.parent} == {root_id}
    assert [f"{link.context.trace_id:032x}" for link in root.links] == [CALLER.split("-")[1]]
    assert {span.resource.attributes["orchestrator.process"] for span in others} == {"open"}
    for span in spans:
        assert span.attributes is not None
        assert span.attributes["orchestrator.session_id"] == session_id
        assert span.start_time is not None
        assert span.end_time is not None
        assert 0 < span.start_time <= span.end_time
    assert others[0].attributes is not None
    assert others[0].attributes["orchestrator.provider"] == "morph"


def test_a_refusal_and_a_failed_call_are_errors(world: World, recording: Recording) -> None:
    world.server.fault("error_before", operation="open", times=1)
    recording.begin("worker")
    assert world.refused("session.close", session_id="nothing") == "unknown_session"
    world.create_session("moral")
    world.settle()
    failed = {
        span.name: span.status.description
        for span in recording.end()
        if span.status.status_code is StatusCode.ERROR
    }
    assert failed["orchestrator.session.close"] == "unknown_session"
    assert failed.keys() == {"orchestrator.session.close", "orchestrator.provider.open"}


def test_a_repeated_message_records_no_second_job(world: World, recording: Recording) -> None:
    recording.begin("worker")
    for _ in range(2):
        world.job("account.put", task_id="one", account_id="firm", plan="payg", currency="USD")
    assert [span.name for span in recording.end()] == ["orchestrator.account.put"]


def test_the_standard_variables_name_the_service(
    world: World, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "sessions-eu")
    recording.begin("worker")
    world.open_account("firm")
    attributes = recording.end()[0].resource.attributes
    assert (attributes["service.name"], attributes["orchestrator.process"]) == ("sessions-eu", "worker")


def test_a_trace_is_sampled_as_a_whole_or_not_at_all(
    world: World, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    recording.begin("worker")
    world.run_session("moral")
    assert recording.end() == []


def test_spans_are_sent_where_the_standard_variables_say(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    arrived: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.append(self.path if body else "")
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with traces.traced(Settings(traces=True), "open"):
            world.create_session()
        server.shutdown()
        thread.join()
    tracing.record_with(None)
    assert arrived == ["/v1/traces"]


def test_without_traces_nothing_of_ours_imports_opentelemetry() -> None:
    """redis-py imports what is installed of it; the block below stands for an installation without the extra."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'opentelemetry':\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import orchestrator.tasks.app, orchestrator.scheduler, orchestrator.processes.run\n"
        "from orchestrator.processes.traces import traced\n"
        "from orchestrator.settings import Settings\n"
        "with traced(Settings(), 'open'): pass\n"
        "assert 'orchestrator.observability.opentelemetry_sdk' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_traces_without_their_packages_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    traces.require_traces(Settings(traces=True))
    monkeypatch.setattr(traces, "NEEDED", ("opentelemetry_is_not_here.sdk",))
    traces.require_traces(Settings())
    with pytest.raises(ConfigurationError, match=r"session-orchestrator\[otel\]"):
        traces.require_traces(Settings(traces=True))
