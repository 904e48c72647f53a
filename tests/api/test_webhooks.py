"""Webhooks over HTTP: put, read, test, replay and delete, by tokens with the scope admin only."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from orchestrator.client import ApiClient, calls
from orchestrator.client.webhook_requests import PutWebhook, ReplayWebhook
from orchestrator.flows.operations.deliver_webhooks import deliver_webhooks
from orchestrator.flows.operations.webhooks import put_webhook
from orchestrator.rules.values import Scope
from orchestrator.rules.webhooks import GIVEN_UP_AFTER
from orchestrator.settings.configuration import WebhookConfiguration
from tests.api.stage import Api
from tests.receiver import SECRET, Receiver, receiver
from tests.world import HOUR, World


@pytest.fixture
def shop() -> Iterator[Receiver]:
    """Return a receiver that takes everything."""
    with receiver() as one:
        yield one


@pytest.fixture
def hooked(api: Api, shop: Receiver) -> httpx.Client:
    """Return the operator's client of an API with the webhook `shop`."""
    api.world.secrets |= {"HOOK": SECRET}
    put = api.operator.put("/webhooks/shop", json={"url": shop.url, "secrets": ["env:HOOK"]})
    assert put.status_code == 200, put.text
    return api.operator


def credit(world: World, key: str) -> None:
    world.done("account.credit", account_id="acme", amount="1.00", currency="USD", key=key)


def deliver(world: World) -> None:
    deliver_webhooks(world.services, world.webhooks, waits=True)


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, str(response.json()["code"])


def test_a_webhook_is_put_read_and_deleted(api: Api, hooked: httpx.Client, shop: Receiver) -> None:
    found = hooked.get("/webhooks/shop").json()
    assert (found["url"], found["secrets"], found["events"], found["waiting"]) == (
        shop.url,
        ["env:HOOK"],
        [],
        0,
    )
    assert SECRET not in hooked.get("/webhooks").text
    credit(api.world, "one")
    deliver(api.world)
    assert [event["subject"] for event in shop.taken] == ["acme"]
    changed = hooked.put("/webhooks/shop", json={"url": shop.url, "secrets": ["env:HOOK"], "active": False})
    assert changed.json()["active"] is False
    assert hooked.delete("/webhooks/shop").json() == {"name": "shop", "deleted": True}
    assert hooked.get("/webhooks").json() == {"items": []}
    for answer in (
        hooked.get("/webhooks/shop"),
        hooked.delete("/webhooks/shop"),
        hooked.post("/webhooks/shop/test"),
        hooked.get("/webhooks/shop/dead-letters"),
        hooked.post("/webhooks/shop/replay"),
    ):
        assert code_of(answer) == (404, "not_found")


def test_a_webhook_is_changed_in_the_version_that_was_read_only(api: Api, hooked: httpx.Client) -> None:
    body = {"url": "https://shop.test/", "secrets": ["env:HOOK"]}
    read = hooked.get("/webhooks/shop")
    version = read.headers["etag"]
    credit(api.world, "one")
    deliver(api.world)
    assert hooked.get("/webhooks/shop").headers["etag"] == version, "it is that of what is put"
    put = hooked.put("/webhooks/shop", json=body, headers={"If-Match": version})
    assert (put.status_code, put.headers["etag"] != version) == (200, True)
    assert hooked.get("/webhooks/shop").headers["etag"] == put.headers["etag"]
    late = hooked.put("/webhooks/shop", json=body | {"active": False}, headers={"If-Match": version})
    assert code_of(late) == (412, "precondition_failed")
    again = hooked.put("/webhooks/shop", json=body, headers={"If-None-Match": "*"})
    assert code_of(again) == (412, "precondition_failed")
    assert hooked.put("/webhooks/new", json=body, headers={"If-Match": "*"}).status_code == 412
    assert hooked.put("/webhooks/new", json=body, headers={"If-None-Match": "*"}).status_code == 200
    assert hooked.get("/webhooks/shop").json()["active"] is True


def test_a_webhook_that_two_add_at_once_is_added_once(any_api: Api) -> None:
    at_once, answers = threading.Barrier(8), []

    def put(n: int) -> None:
        client = any_api.client(Scope.ADMIN)
        body = {"url": f"https://shop.test/{n}", "secrets": ["env:HOOK"]}
        at_once.wait(30)
        answers.append(client.put("/webhooks/shop", json=body, headers={"If-None-Match": "*"}).status_code)

    threads = [threading.Thread(target=put, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [200] + [412] * 7


def test_a_secret_that_cannot_sign_is_named_as_it_is_put_and_not_shown(api: Api) -> None:
    api.world.secrets |= {"HOOK": SECRET, "WEAK": "a-password"}
    body = {"url": "https://shop.test/", "secrets": ["env:HOOK", "env:WEAK"]}
    put = api.operator.put("/webhooks/shop", json=body)
    [note] = put.json()["notes"]
    assert note.startswith("env:WEAK must hold a secret of the Standard Webhooks")
    assert "a-password" not in put.text
    elsewhere = api.operator.put("/webhooks/shop", json=body | {"secrets": ["env:HOOK", "env:ELSEWHERE"]})
    assert elsewhere.json()["notes"] == [], "workers may have it"


def test_a_test_shows_what_the_receiver_answers(hooked: httpx.Client, shop: Receiver) -> None:
    assert hooked.post("/webhooks/shop/test").json() == {
        "webhook": "shop",
        "url": shop.url,
        "arrived": True,
        "answer": None,
    }
    assert shop.types() == ["orchestrator.webhook.test"]
    assert shop.verified() == 1
    shop.answer = lambda _event: 401
    tried = hooked.post("/webhooks/shop/test").json()
    assert (tried["arrived"], tried["answer"]) == (False, "the receiver answered 401")


#: What is put of a webhook.
TERMS = ("url", "secrets", "events", "accounts", "active")


def test_dead_letters_are_listed_and_sent_again(api: Api, hooked: httpx.Client, shop: Receiver) -> None:
    shop.answer = lambda _event: 500
    credit(api.world, "one")
    deliver(api.world)
    api.world.jump(GIVEN_UP_AFTER + HOUR)
    deliver(api.world)
    [dead] = hooked.get("/webhooks/shop/dead-letters").json()["items"]
    assert (dead["type"], dead["last_answer"]) == (
        "orchestrator.account.credited",
        "the receiver answered 500",
    )
    shop.answer = lambda _event: 204
    unknown = hooked.post("/webhooks/shop/replay", json={"events": ["nothing"]})
    assert code_of(unknown) == (404, "not_found")
    terms = {key: value for key, value in hooked.get("/webhooks/shop").json().items() if key in TERMS}
    hooked.put("/webhooks/shop", json={**terms, "accounts": ["other"]}).raise_for_status()
    excluded = hooked.post("/webhooks/shop/replay", json={"events": [dead["event_id"]]})
    assert code_of(excluded) == (409, "conflict")
    assert "does not receive" in excluded.json()["detail"]
    hooked.put("/webhooks/shop", json=terms).raise_for_status()
    [again] = hooked.post("/webhooks/shop/replay").json()["items"]
    assert (again["event_id"], again["dead_at"]) == (dead["event_id"], None)
    deliver(api.world)
    assert [event["id"] for event in shop.taken] == [dead["event_id"]]
    assert hooked.get("/webhooks/shop").json()["dead"] == 0


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        pytest.param({"url": "http://shop.test/"}, "url", id="no TLS"),
        pytest.param({"url": "https://user:pass@shop.test/"}, "url", id="a password in the URL"),
        pytest.param({"secrets": ["whsec_abc"]}, "secrets[0]", id="a secret in place of its reference"),
        pytest.param({"secrets": []}, "secrets", id="no secret"),
        pytest.param({"secrets": ["env:A", "env:B", "env:C"]}, "secrets", id="three secrets"),
        pytest.param({"events": ["*", "shop.*"]}, "events[1]", id="an event that is none"),
        pytest.param({"whsec_abc": 1}, "request", id="an unknown key, which may be a secret"),
    ],
)
def test_a_wrong_webhook_is_refused_with_each_fault_and_no_secret(
    api: Api, changes: dict[str, Any], loc: str
) -> None:
    answer = api.operator.put(
        "/webhooks/shop", json={"url": "https://shop.test/", "secrets": ["env:A"]} | changes
    )
    assert code_of(answer) == (422, "invalid_request")
    assert [fault["loc"] for fault in answer.json()["faults"]] == [loc]
    assert "whsec_abc" not in answer.text
    assert "pass@" not in answer.text


def test_a_name_that_is_none_is_refused(api: Api) -> None:
    assert (
        api.operator.put("/webhooks/a%20b", json={"url": "https://x.test", "secrets": ["env:A"]}).status_code
        == 422
    )


def test_what_stands_in_the_file_is_changed_there(api: Api) -> None:
    given = WebhookConfiguration(url="https://shop.test/", secret_refs=("env:A",))
    put_webhook(api.world.services.database, "shop", given, active=True)
    with api.world.services.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE webhooks SET from_file = true")
    put = api.operator.put("/webhooks/shop", json={"url": "https://other.test/", "secrets": ["env:A"]})
    for answer in (put, api.operator.delete("/webhooks/shop")):
        assert code_of(answer) == (409, "conflict")
        assert "[webhooks.shop]" in answer.json()["detail"]


def test_only_an_administrator_sees_and_changes_webhooks(api: Api) -> None:
    for client in (api.client(Scope.READ), api.client(Scope.OPERATE)):
        assert code_of(client.get("/webhooks")) == (403, "forbidden")
        assert code_of(client.delete("/webhooks/shop")) == (403, "forbidden")


def test_the_same_key_puts_once_and_another_body_under_it_is_refused(api: Api) -> None:
    body, key = {"url": "https://shop.test/", "secrets": ["env:A"]}, {"Idempotency-Key": "k-1"}
    first = api.operator.put("/webhooks/shop", json=body, headers=key)
    again = api.operator.put("/webhooks/shop", json=body, headers=key)
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (first.json(), "true")
    other = api.operator.put("/webhooks/shop", json=body | {"active": False}, headers=key)
    assert other.status_code == 422


def test_the_typed_client_has_every_call(api: Api, shop: Receiver) -> None:
    api.world.secrets |= {"HOOK": SECRET}
    with ApiClient(api.url, api.token(Scope.ADMIN)) as client:
        wanted = PutWebhook(url=shop.url, secrets=["env:HOOK"], events=["orchestrator.account.*"])
        put = client.send(calls.put_webhook("shop", wanted))
        read = client.send(calls.get_webhook("shop"))
        listed = client.send(calls.list_webhooks()).items
        tried = client.send(calls.try_webhook("shop"))
        dead = client.send(calls.list_dead_letters("shop")).items
        again = client.send(calls.replay_webhook("shop", ReplayWebhook())).items
        deleted = client.send(calls.delete_webhook("shop"))
    assert put.events == ["orchestrator.account.*"]
    assert (read.name, [one.name for one in listed]) == ("shop", ["shop"])
    assert tried.arrived
    assert dead == again == []
    assert deleted.deleted
