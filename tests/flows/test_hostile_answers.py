"""Unforeseen answers: they cost only the session that received them."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.stop_due import stop_due
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.faults import verdict_of
from orchestrator.rules.states import State
from orchestrator.settings import ProviderConfiguration
from tests.flows.conftest import MakeWorld
from tests.world import MINUTE, SECOND, World

GOOD = (200, b'{"choices":[{"message":{}}]}')
NESTED = (500, b'{"error":' * 450 + b'"x"' + b"}" * 450)
GREEDY = (200, b'{"choices":[{"message":{}}],"usage":{"total_tokens":1' + b"0" * 30 + b"}}")
HUGE = (503, b'{"error":"loading","estimated_time":1' + b"0" * 400 + b"}")


class Hostile:
    """An OpenAI-compatible server with any answer that a test sets."""

    def __init__(self, models: bytes = b'{"data":[{"id":"llama-3"}]}') -> None:
        self.answer, self.models = GOOD, models

    def serve(self) -> http.server.ThreadingHTTPServer:
        says = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _say(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self._say(200, says.models)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._say(*says.answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@pytest.fixture
def hostile() -> Iterator[tuple[Hostile, str]]:
    said = Hostile()
    server = said.serve()
    yield said, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def _with(world: World, url: str) -> None:
    world.providers["bad"] = ProviderConfiguration(
        name="bad", driver="openai", base_url=url, credentials=("env:ALPHA",), max_in_flight=50
    )
    world.services = world.another_worker()
    world.put_model("evil", {"bad": "llama-3"})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(NESTED, id="nested"),
        pytest.param(HUGE, id="huge number"),
        pytest.param(GREEDY, id="more tokens than a meter holds"),
    ],
)
def test_one_answer_spoils_no_other_ping(
    world: World, hostile: tuple[Hostile, str], answer: tuple[int, bytes]
) -> None:
    said, url = hostile
    _with(world, url)
    ill, well = world.run_session("evil"), world.run_session("llama")
    said.answer = answer
    world.jump(31 * SECOND)
    world.settle()
    assert world.session(well).last_alive_at == world.clock.now
    assert world.session(ill).last_ping_at == world.clock.now


def test_one_answer_drops_no_others_handle(world: World, hostile: tuple[Hostile, str]) -> None:
    said, url = hostile
    said.models = b'{"data":[{"id":["x"]}]}'
    _with(world, url)
    world.create_session("evil")
    good = world.create_session("moral")
    open_due(world.services)
    assert world.placements(good)[0].handle is not None


def test_a_long_error_takes_no_time_of_the_loop() -> None:
    body = json.dumps({"error": "model " * 20_000}).encode()
    began = time.monotonic()
    verdict_of(Response(status=404, body=body, received_at=datetime.now(UTC)))
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("how", ["renamed", "twice"])
def test_one_secret_under_two_names_is_one_key(make_world: MakeWorld, how: str) -> None:
    world = make_world(morpheus_keys=2)
    world.secrets["MORPH_2"] = world.keys[0]
    world.services = world.another_worker()
    world.run_session("moral")
    if how == "renamed":
        assert world.refused("session.create", account_id="acme", model_id="moral") == "no_capacity"
    else:
        world.create_session("moral", on_quota="queue")
        world.settle()
    assert world.server.sessions()[0].closed_by is None


def test_a_stop_waits_for_no_ping_though_nobody_pings(world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 60})
    world.jump(5 * MINUTE)
    stop_due(world.services)
    assert world.session(session_id).state is State.STOPPING


def test_what_changed_since_creation_is_looked_at_again_when_it_starts(world: World) -> None:
    mine = {"source": "private", "owner": "acme", "files_uploaded": True, "tags": ["ready"]}
    world.put_model("own", {"alpha": "llama-3"}, **mine)
    session_id = world.create_session("own", start=False)
    world.put_model("own", {"alpha": "llama-3"}, **mine | {"owner": "other"})
    assert world.refused("session.start", session_id=session_id) == "model_not_eligible"
