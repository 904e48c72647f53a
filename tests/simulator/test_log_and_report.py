"""The provider's log, and its sums."""

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from tests.simulator.conftest import Gateway, HandClock, outcome


def test_a_call_tells_who_asked_for_what_and_when(
    gateway: Gateway, server: SimulatorServer, clock: HandClock
) -> None:
    session = gateway.opened("0xbb")
    (call,) = server.log()
    assert (call.seq, call.upstream, call.kind, call.operation) == (1, "morpheus", "morpheus", "open")
    assert (call.key, call.session, call.model) == ("sk-one", session, "qwen")
    assert (call.status, call.answered, call.fault) == (200, True, None)
    assert (call.effect, call.path) == (f"opened {session}", "/api/v1/session/modelsession")
    assert call.began_at == call.ended_at == clock.now


def test_the_log_can_be_filtered(gateway: Gateway, server: SimulatorServer) -> None:
    gateway.opened()
    gateway.close()
    assert [call.operation for call in server.log(operation="close", status=200)] == ["close"]
    assert [call.operation for call in server.log(since=1)] == ["close"]
    server.clear_log()
    assert server.log() == []


def test_an_orderly_life_leaves_a_clean_report(gateway: Gateway, server: SimulatorServer) -> None:
    gateway.close()  # a careful caller begins with a clean slot
    session = gateway.opened()
    gateway.chat(session)
    gateway.close()
    report = server.report()
    assert (report.opens, report.closes, report.open_now, report.leaked) == (1, 1, 0, 0)
    assert (report.pings_after_close, report.late_pings) == (0, ())
    assert report.most_active_per_key == {"morpheus": {"sk-one": 1}}
    assert report.calls == {"close": 2, "open": 1, "chat": 1}


def test_a_ping_after_a_confirmed_close_is_counted(gateway: Gateway, server: SimulatorServer) -> None:
    session = gateway.opened()
    gateway.close()
    gateway.chat(session)
    assert server.report().late_pings == (3,)


@pytest.mark.parametrize("fault", ["cut_after_effect", "error_after_effect", "invalid_json", "close_fails"])
def test_a_close_without_an_answer_confirms_nothing(
    gateway: Gateway, server: SimulatorServer, fault: str
) -> None:
    session = gateway.opened()
    server.fault(fault, operation="close", times=1)
    assert outcome(gateway.close) is None
    gateway.chat(session)
    assert server.report().pings_after_close == 0
    gateway.close()
    gateway.chat(session)
    assert server.report().late_pings == (5,), "the second close said that none was active any more"


def test_two_opens_of_one_model_in_a_row_are_distinguished(gateway: Gateway, server: SimulatorServer) -> None:
    first = gateway.opened()
    gateway.close()
    second = gateway.opened()
    gateway.chat(second)
    gateway.close()
    assert first != second
    assert server.report().pings_after_close == 0


def test_the_most_sessions_at_once_are_remembered(gateway: Gateway, server: SimulatorServer) -> None:
    gateway.opened()
    gateway.open_bid()
    gateway.close()
    other_account = Gateway(gateway.http, gateway.base_url, "sk-two")
    other_account.opened("llama")
    other_account.opened("qwen")
    report = server.report()
    assert report.most_active_per_key == {"morpheus": {"sk-one": 2, "sk-two": 1}}
    assert (report.ended_by_platform, report.leaked) == (1, 1)


def test_the_report_is_the_same_over_http(
    gateway: Gateway, server: SimulatorServer, http: httpx.Client
) -> None:
    gateway.opened()
    shown = http.get(f"{server.url}/control/report").json()
    assert shown == {**server.report().as_json(), "late_pings": []}
