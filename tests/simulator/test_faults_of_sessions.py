"""Faults around what was done and what was said: opens, closes and pings of a gateway."""

import threading
import time

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from tests.simulator.conftest import Gateway, outcome
from tests.waiting import eventually


@pytest.mark.parametrize("fault", ["cut_after_effect", "error_after_effect", "invalid_json", "cut_in_body"])
def test_an_open_may_succeed_without_saying_so(server: SimulatorServer, gateway: Gateway, fault: str) -> None:
    server.fault(fault, operation="open", times=1)
    assert outcome(gateway.open) is None
    (lost,) = server.open_sessions()
    assert server.log()[0].effect == f"opened {lost.id}"
    assert gateway.opened() == lost.id, "asking again adopts it"


@pytest.mark.parametrize("fault", ["dead", "cut_before_effect", "error_before", "no_bids", "html"])
def test_an_open_may_fail_for_good(server: SimulatorServer, gateway: Gateway, fault: str) -> None:
    server.fault(fault, operation="open", times=1)
    assert outcome(gateway.open) is None
    assert server.sessions() == []
    assert server.log()[0].effect is None


def test_a_close_that_fails_leaves_the_session_open(server: SimulatorServer, gateway: Gateway) -> None:
    gateway.opened()
    server.fault("close_fails", operation="close", times=1)
    assert "Error closing session" in gateway.close().json()["detail"]
    assert len(server.open_sessions()) == 1
    assert gateway.close().status_code == 200


@pytest.mark.parametrize("call", ["open", "ping", "close"])
def test_an_answer_may_name_an_unknown_session(server: SimulatorServer, gateway: Gateway, call: str) -> None:
    session = gateway.opened()
    server.fault("wrong_id")
    assert getattr(gateway, call)().json()["session_id"] not in {session, None}
    assert server.log()[-1].session == session


def test_a_session_may_expire_at_any_call(server: SimulatorServer, gateway: Gateway) -> None:
    session = gateway.opened()
    server.fault("expired", session=session, times=1)
    assert "session expired" in gateway.chat(session).json()["detail"]
    assert server.sessions()[0].closed_by == "expired"


def test_a_gateway_has_its_own_words_for_gone_and_broke(server: SimulatorServer, gateway: Gateway) -> None:
    session = gateway.opened()
    server.fault("out_of_balance", operation="chat", times=1)
    assert gateway.chat(session).json()["error"]["type"] == "insufficient_balance"
    server.fault("gone")
    assert "session not found" in gateway.chat(session).json()["detail"]
    assert gateway.ping().json()["status"] == "no_session"
    assert gateway.close().json()["session_id"] is None
    assert len(server.open_sessions()) == 1


@pytest.mark.parametrize("effect", ["first", "last"])
def test_what_has_begun_is_finished_without_its_caller(
    server: SimulatorServer, gateway: Gateway, effect: str
) -> None:
    server.fault("slow", operation="open", seconds=0.15, effect=effect)
    with pytest.raises(httpx.ReadTimeout):
        gateway.post("/session/modelsession", params={"model_id": "llama"}, json={}, timeout=0.05)
    eventually(lambda: server.log()[0].effect is not None, "the call")
    assert len(server.open_sessions()) == 1
    eventually(lambda: server.log()[0].ended_at is not None, "the call")
    assert server.log()[0].status is None


def test_a_reset_stops_late_effects(server: SimulatorServer, gateway: Gateway) -> None:
    server.fault("slow", operation="open", seconds=0.1, effect="last")
    with pytest.raises(httpx.ReadTimeout):
        gateway.post("/session/modelsession", params={"model_id": "llama"}, json={}, timeout=0.03)
    server.reset()
    time.sleep(0.15)
    assert server.sessions() == []


def test_a_busy_session_is_killed_by_a_native_ping(server: SimulatorServer, gateway: Gateway) -> None:
    session = gateway.opened()
    server.fault("slow", operation="chat", seconds=4)
    busy = threading.Thread(target=gateway.chat, args=(session,))
    busy.start()
    eventually(lambda: len(server.log(operation="chat", session=session)) == 1, "the call of the session")
    assert gateway.ping().json()["status"] == "dead"
    busy.join()
    assert server.sessions()[0].closed_by == "ping"
