"""Instances behind a control API, as a client sees them."""

from typing import Any

import httpx
import pytest

from orchestrator.simulator import SimulatorServer
from orchestrator.simulator.server import ModelLike
from tests.simulator.conftest import HandClock, outcome, ping_body

KEY = {"x-api-key": "sk-one"}
SEED = {"id": "aaa1", "model": "llama"}


class Account:
    """The calls of a customer of the platform."""

    def __init__(self, server: SimulatorServer, http: httpx.Client, **options: Any) -> None:
        models: list[ModelLike] = ["llama", {"id": "whisper", "type": "ASR"}]
        url = server.add_upstream("sesterce", "sesterce", ["sk-one"], models, **options)
        self.http, self.instances = http, f"{url}/ai-inference/instances"

    def listed(self) -> Any:
        return self.http.get(self.instances, headers=KEY).json()

    def status(self) -> list[str]:
        return [one["status"] for one in self.listed()]

    def create(self, model: str = "llama") -> httpx.Response:
        body = {"modelId": model, "name": "mine", "hardwareName": "l40s"}
        return self.http.post(self.instances, headers=KEY, json=body)

    def created(self) -> str:
        return str(self.create().json()["_id"])

    def start(self, ident: str) -> httpx.Response:
        return self.http.post(f"{self.instances}/{ident}/start", headers=KEY)

    def stop(self, ident: str) -> httpx.Response:
        return self.http.post(f"{self.instances}/{ident}/stop", headers=KEY)

    def delete(self, ident: str) -> httpx.Response:
        return self.http.delete(f"{self.instances}/{ident}", headers=KEY)

    def chat(self, ident: str, model: str = "llama", headers: dict[str, str] = KEY) -> httpx.Response:
        address = next(one["address"] for one in self.listed() if one["_id"] == ident)
        return self.http.post(f"{address}v1/chat/completions", headers=headers, json=ping_body(model))


@pytest.fixture
def account(server: SimulatorServer, http: httpx.Client) -> Account:
    return Account(server, http)


def test_an_instance_is_created_serves_stops_starts_and_goes(
    account: Account, server: SimulatorServer
) -> None:
    ident = account.created()
    (shown,) = account.listed()
    assert {"_id", "name", "status", "hourlyPrice", "features", "address", "createdAt", "updatedAt"} < set(
        shown
    )
    assert (shown["name"], shown["status"], shown["containers"][0]["deployStatus"]) == (
        "mine",
        "ACTIVE",
        {"total": 1, "ready": 1},
    )
    assert account.chat(ident).status_code == 200
    assert account.stop(ident).status_code == 200
    assert (account.status(), account.chat(ident).status_code) == (["DISABLED"], 404)
    assert account.start(ident).status_code == 200
    assert account.chat(ident).status_code == 200
    assert account.delete(ident).status_code == 204
    assert account.listed() == []
    report = server.report()
    assert (report.opens, report.closes, report.open_now) == (2, 2, 0)
    assert report.late_pings == (8,)


def test_what_is_over_is_said_to_be_over(account: Account) -> None:
    ident = account.created()
    assert account.start(ident).json() == {"statusCode": 400, "message": "Instance is already started"}
    account.stop(ident)
    assert account.stop(ident).json() == {"statusCode": 400, "message": "Instance is already stopped"}
    account.delete(ident)
    answers = [account.delete(ident), account.stop(ident), account.start(ident)]
    assert {answer.status_code for answer in answers} == {404}


def test_two_creates_are_two_instances(account: Account, server: SimulatorServer) -> None:
    assert account.created() != account.created()
    report = server.report()
    assert (report.most_active_per_key, report.double_opens) == ({"sesterce": {"sk-one": 2}}, 1)


def test_a_create_may_succeed_without_saying_so(account: Account, server: SimulatorServer) -> None:
    server.fault("cut_after_effect", operation="create", times=1)
    assert outcome(account.create) is None
    assert [one["name"] for one in account.listed()] == ["mine"]
    assert [session.id for session in server.open_sessions()] == [account.listed()[0]["_id"]]


def test_statuses_follow_the_clock(server: SimulatorServer, http: httpx.Client, clock: HandClock) -> None:
    account = Account(
        server, http, deploy=[("NEW", 5), ("DEPLOYING", 60)], address_after=10, list_lag=2, delete_lag=20
    )
    ident = account.created()
    assert account.status() == []
    clock.advance(3)
    assert [(one["status"], one["address"]) for one in account.listed()] == [("NEW", None)]
    clock.advance(8)
    assert account.status() == ["DEPLOYING"]
    assert account.chat(ident).status_code == 503
    clock.advance(60)
    assert account.status() == ["ACTIVE"]
    account.delete(ident)
    assert account.status() == ["DELETING"]
    clock.advance(21)
    assert account.status() == []


def test_an_idle_instance_sleeps_until_it_is_asked(
    server: SimulatorServer, http: httpx.Client, clock: HandClock
) -> None:
    account = Account(server, http, instances=[SEED], sleeps_after=60, lower_case=True)
    assert account.status() == ["active"]
    clock.advance(61)
    assert account.status() == ["pending"]
    assert account.chat("aaa1").status_code == 200
    assert account.status() == ["active"]


def test_a_deployment_fails_with_the_errors_of_its_containers(
    server: SimulatorServer, http: httpx.Client
) -> None:
    account = Account(server, http, fails={"llama": "out of memory"})
    ident = account.created()
    (shown,) = account.listed()
    assert (shown["status"], shown["containers"][0]["errorMessage"]) == ("FAILED", "out of memory")
    assert account.chat(ident).status_code == 404
    assert server.open_sessions() == []


@pytest.mark.parametrize(
    ("how", "status"), [("expired", ["DISABLED"]), ("dead", ["ERROR"]), ("forgotten", [])]
)
def test_the_platform_ends_an_instance(
    account: Account, server: SimulatorServer, how: str, status: list[str]
) -> None:
    ident = account.created()
    server.end_session(ident, how)
    assert account.status() == status


def test_a_stop_may_show_late(server: SimulatorServer, http: httpx.Client, clock: HandClock) -> None:
    account = Account(
        server, http, instances=[SEED, {"id": "bbb2", "model": "llama", "running": False}], stop_lag=9
    )
    assert account.status() == ["ACTIVE", "DISABLED"]
    account.stop("aaa1")
    assert account.status() == ["ACTIVE", "DISABLED"]
    clock.advance(10)
    assert account.status() == ["DISABLED", "DISABLED"]


@pytest.mark.parametrize("missing", ["modelId", "name", "hardwareName"])
def test_a_create_that_misses_something_is_refused(account: Account, missing: str) -> None:
    body = {"modelId": "llama", "name": "mine", "hardwareName": "l40s"}
    del body[missing]
    answer = account.http.post(account.instances, headers=KEY, json=body)
    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)
    assert account.create("other").status_code == 404
    assert account.listed() == []


def test_control_and_endpoints_have_their_own_words(server: SimulatorServer, http: httpx.Client) -> None:
    account = Account(server, http, instances=[SEED], endpoint_auth="bearer", endpoint_secret="sk-end")
    assert http.get(account.instances).json() == {"statusCode": 401, "message": "Unauthorized"}
    bearer = {"Authorization": "Bearer sk-one"}
    assert http.get(account.instances, headers=bearer).status_code == 401
    assert account.chat("aaa1").json()["error"]["message"] == "invalid secret"
    good = {"Authorization": "Bearer sk-end"}
    assert account.chat("aaa1", headers=good).status_code == 200
    assert account.chat("aaa1", "other", headers=good).json()["error"]["message"] == "model other not found"
    server.fault("throttled")
    assert "error" in http.post(f"{_address(server)}v1/chat/completions", headers=good, json={}).json()
    assert "statusCode" in account.listed()


def _address(server: SimulatorServer) -> str:
    return f"{server.url}/sesterce/endpoints/aaa1-x/"


def test_only_speech_models_transcribe(server: SimulatorServer, http: httpx.Client) -> None:
    Account(server, http, instances=[SEED, {"id": "bbb2", "model": "whisper"}])
    sound = {"file": ("a.wav", b"12345")}

    def heard(host: str, model: str) -> int:
        url = f"{server.url}/sesterce/endpoints/{host}-x/v1/audio/transcriptions"
        return http.post(url, headers=KEY, data={"model": model}, files=sound).status_code

    assert [heard("bbb2", "whisper"), heard("bbb2", "llama"), heard("aaa1", "llama"), heard("ccc3", "x")] == [
        200,
        404,
        400,
        404,
    ]
    chat = http.post(
        f"{server.url}/sesterce/endpoints/bbb2-x/v1/chat/completions", headers=KEY, json=ping_body("whisper")
    )
    assert chat.status_code == 400


def test_half_of_an_empty_answer_is_none(account: Account, server: SimulatorServer) -> None:
    ident = account.created()
    server.fault("cut_in_body", operation="close")
    with pytest.raises(httpx.TransportError):
        account.delete(ident)
    assert server.open_sessions() == []
