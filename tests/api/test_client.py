"""The Python client: typed answers, retries that do nothing twice, streams that resume."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import islice
from typing import Any

import httpx
import pytest

from orchestrator.client import (
    ApiClient,
    ApiRefused,
    ApiUnreachable,
    AsyncApiClient,
    BudgetAccount,
    CloseSession,
    CreateSession,
    CreditAccount,
    DebitAccount,
    ExtendSession,
    Interactions,
    PutAccount,
    PutModel,
    RecordInteractions,
    StartSession,
    calls,
)
from orchestrator.client.api_call import ApiCall
from orchestrator.client.close_many import CloseMany
from orchestrator.client.trial_resources import TryPolicy
from orchestrator.client.webhook_requests import PutWebhook, ReplayWebhook
from orchestrator.rules.states import State
from orchestrator.rules.values import Scope
from tests.api.stage import SPEECH_MODEL, Api, operations

NEW = CreateSession(account_id="acme", model_id="llama", name="first", start=False)


@pytest.fixture
def client(api: Api) -> Iterator[ApiClient]:
    """Return a client of the served API that does not wait between tries."""
    token = api.token(Scope.ADMIN, Scope.REVEAL)
    with ApiClient(api.url, token, pause=lambda _: None) as client:
        yield client


def lose(client: ApiClient | AsyncApiClient, monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Lose this many answers, after the request was carried out; return the methods that were sent."""
    sent: list[str] = []
    real = client._http.request

    def request(**arguments: Any) -> httpx.Response:
        sent.append(arguments["method"])
        answer = real(**arguments)
        if len(sent) <= times:
            raise httpx.ReadError("lost")
        return answer  # type: ignore[return-value]

    monkeypatch.setattr(client._http, "request", request)
    return sent


def test_a_session_from_its_beginning_to_its_end(api: Api, client: ApiClient) -> None:
    session = client.send(calls.create_session(NEW))
    assert (session.name, session.state, session.cost) == ("first", State.CREATED, "0.00")
    client.send(calls.start_session(StartSession(session_id=session.id)))
    api.world.settle()
    running = client.send(calls.get_session(session.id, wait_for=State.RUNNING, timeout=30))
    assert running.state is State.RUNNING
    endpoint = client.send(calls.get_endpoint(session.id, reveal=True))
    assert endpoint.secret == "sk-alpha"
    batch = RecordInteractions(batch=[Interactions(session_id=session.id, count=2)])
    recorded = client.send(calls.record_interactions(batch))
    assert recorded.accepted == 1
    client.send(calls.extend_session(ExtendSession(session_id=session.id, max_duration_seconds=60)))
    client.send(calls.ping_session(session.id))
    explained = client.send(calls.explain_session(session.id))
    assert explained.stops
    closed = client.send(calls.close_session(CloseSession(session_id=session.id)))
    assert closed.state == "stopping"
    api.world.settle()
    deleted = client.send(calls.delete_session(session.id))
    assert deleted.deleted_at is not None


def test_accounts_and_models(client: ApiClient) -> None:
    client.send(calls.put_account(PutAccount(account_id="shop", plan="payg", currency="USD")))
    credit = CreditAccount.model_validate(
        {"account_id": "shop", "amount": "5", "currency": "USD", "key": "k"}
    )
    credited = client.send(calls.credit_account(credit, key="once"))
    assert credited.balance == "5.00"
    account = client.send(calls.get_account("shop"))
    assert account.balance == "5.00"
    forecast = client.send(calls.get_forecast("shop"))
    assert forecast.available == "5.00"
    wanted = BudgetAccount(account_id="shop", period="day", amount=Decimal(5), currency="USD")
    budgets = client.send(calls.budget_account(wanted))
    read = client.send(calls.get_budgets("shop"))
    assert (budgets.budgets[0].amount, read.budgets[0].used) == ("5.00", "0.00")
    costs = client.send(calls.get_costs(by="day", account="shop"))
    assert costs.items == []
    assert [line.key for line in client.items(calls.list_ledger("shop", limit=1))] == ["credit:shop:k"]
    job = client.send(calls.get_job("once"))
    assert job.name == "orchestrator.account.credit"
    put = client.send(calls.put_model(PutModel.model_validate(SPEECH_MODEL | {"id": "meta/x"})))
    assert put.id == "meta/x"
    assert "meta/x" in [one.id for one in client.items(calls.list_models(limit=2))]
    assert list(client.items(calls.list_queue())) == []


def test_pages_follow_one_another(client: ApiClient) -> None:
    for n in range(5):
        client.send(calls.create_session(NEW.model_copy(update={"name": f"s{n}"})))
    found = [one.name for one in client.items(calls.list_sessions(state=[State.CREATED], limit=2))]
    assert sorted(found) == [f"s{n}" for n in range(5)]
    assert list(client.items(calls.list_sessions(account="acme", name="none", unproven=False))) == []


def test_a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(
    api: Api, client: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lose(client, monkeypatch, times=3)
    session = client.send(calls.create_session(NEW))
    assert sent == ["POST"] * 4
    assert [one["id"] for one in api.get("/sessions")["items"]] == [session.id]


def test_tries_come_to_an_end(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = lose(client, monkeypatch, times=100)
    with pytest.raises(ApiUnreachable, match="GET /sessions/x: ReadError"):
        client.send(calls.get_session("x"))
    assert len(sent) == 5


def test_what_has_no_key_is_sent_once(client: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = lose(client, monkeypatch, times=100)
    call = calls.create_session(NEW)
    with pytest.raises(ApiUnreachable):
        client.send(calls.ApiCall(method=call.method, path=call.path, returns=call.returns, body=call.body))
    assert sent == ["POST"]


def test_a_refusal_has_its_code_and_faults(api: Api, client: ApiClient) -> None:
    with pytest.raises(ApiRefused, match="unknown_session: session none is unknown") as unknown:
        client.send(calls.get_session("none"))
    assert (unknown.value.code, unknown.value.status) == ("unknown_session", 404)
    with pytest.raises(ApiRefused) as invalid:
        client.send(calls.list_sessions(limit=1000))
    assert [fault.loc for fault in invalid.value.faults] == ["query.limit"]
    with (
        pytest.raises(ApiRefused, match="unauthenticated"),
        ApiClient(api.url, "wrong", tries=1) as unauthenticated,
    ):
        unauthenticated.send(calls.get_session("none"))


def test_events_are_read_and_resumed(api: Api, client: ApiClient) -> None:
    api.create(name="one", start=False)
    [first] = islice(client.events(last="0", type="orchestrator.session"), 1)
    assert first.event.data["name"] == "one"
    api.create(name="two", start=False)
    [second] = islice(client.events(last=first.id, type="orchestrator.session"), 1)
    assert second.event.data["name"] == "two"
    with pytest.raises(ApiRefused, match="invalid_request"):
        next(client.events(last="nonsense"))


def test_a_stream_resumes_though_it_was_cut_before_its_first_event(api: Api, client: ApiClient) -> None:
    """Another service is cut off by its proxy, which cannot reach the API for a while, and sees all events."""
    cuts = iter(["cut", 503, 502, 429])

    class Proxy(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            match next(cuts, None):
                case int(status):
                    return httpx.Response(status, text="no upstream")
                case "cut":
                    answer = real.handle_request(request)
                    return httpx.Response(200, stream=Cut(answer.stream))
                case _:
                    return real.handle_request(request)

    class Cut(httpx.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            yield next(iter(self._stream))
            self._stream.close()
            api.create(name="meanwhile", start=False)
            raise httpx.ReadError("cut")

    real, client._http._transport = client._http._transport, Proxy()
    [first] = islice(client.events(type="orchestrator.session"), 1)
    assert first.event.data["name"] == "meanwhile"
    assert next(cuts, None) is None


def test_pages_of_events_come_to_an_end(api: Api, client: ApiClient) -> None:
    session_id = api.world.run_session(name="one")
    all_events = list(client.items(calls.list_events(limit=2)))
    mine = [one.type for one in all_events if one.subject == session_id]
    assert mine == [one.type for one in client.items(calls.list_events_of_session(session_id, limit=2))]
    assert len(mine) == len(api.world.events(session_id))
    assert list(client.items(calls.list_events(subject="none"))) == []


def test_sessions_are_closed_together(client: ApiClient) -> None:
    for n in range(3):
        client.send(calls.create_session(NEW.model_copy(update={"name": f"s{n}"})))
    wanted = CloseMany(account_id="acme", detail="over")
    plan = client.send(calls.plan_close(wanted))
    closed = client.send(calls.close_many(wanted, plan.plan, key="all"))
    assert (plan.count, closed.closed, closed.refused) == (3, 3, [])
    again = client.send(calls.close_many(wanted, plan.plan, key="all"))
    assert again == closed
    with pytest.raises(ApiRefused, match="plan_changed"):
        client.send(calls.close_many(CloseMany(account_id="acme"), plan.plan))


#: A call for each operation of the API.
CALLS: tuple[ApiCall[Any], ...] = (
    calls.list_sessions(),
    calls.create_session(NEW),
    calls.get_session("ID"),
    calls.delete_session("ID"),
    calls.explain_session("ID"),
    calls.get_endpoint("ID"),
    calls.list_events_of_session("ID"),
    calls.start_session(StartSession(session_id="ID")),
    calls.close_session(CloseSession(session_id="ID")),
    calls.extend_session(ExtendSession(session_id="ID", max_duration_seconds=60)),
    calls.ping_session("ID"),
    calls.record_interactions(RecordInteractions(batch=[Interactions(session_id="ID", count=2)])),
    calls.plan_close(CloseMany()),
    calls.list_accounts(),
    calls.get_account("ID"),
    calls.put_account(PutAccount(account_id="ID", plan="payg", currency="USD")),
    calls.credit_account(CreditAccount(account_id="ID", amount=Decimal(1), currency="USD", key="k")),
    calls.debit_account(
        DebitAccount(account_id="ID", amount=Decimal(1), currency="USD", key="k", reason="r", author="a")
    ),
    calls.get_budgets("ID"),
    calls.budget_account(BudgetAccount(account_id="ID", period="day", amount=Decimal(1), currency="USD")),
    calls.get_forecast("ID"),
    calls.list_ledger("ID"),
    calls.get_costs(),
    calls.list_models(),
    calls.get_model("ID"),
    calls.put_model(PutModel.model_validate(SPEECH_MODEL | {"id": "ID"})),
    calls.list_providers(),
    calls.get_provider("ID"),
    calls.check_provider("ID"),
    calls.release_brake("ID"),
    calls.try_policy(TryPolicy(set={}, prices={})),
    calls.get_overview(),
    calls.list_unproven(),
    calls.list_orphans(),
    calls.list_queue(),
    calls.get_audit(),
    calls.list_alarms(),
    calls.get_job("ID"),
    calls.reconcile(),
    calls.list_webhooks(),
    calls.get_webhook("ID"),
    calls.put_webhook("ID", PutWebhook(url="https://h.test/", secrets=["env:H"])),
    calls.delete_webhook("ID"),
    calls.try_webhook("ID"),
    calls.list_dead_letters("ID"),
    calls.replay_webhook("ID", ReplayWebhook()),
    calls.list_events(),
)


def test_there_is_a_call_for_each_operation_and_its_answer_is_the_documents(client: ApiClient) -> None:
    documented = {
        (method, re.sub(r"\{(period)\}|\{\w+\}", lambda one: "day" if one[1] else "ID", path)): operation
        for method, path, operation in operations()
        if path.startswith("/v1")
    }
    called = {(call.method, f"/v1{call.path}"): call for call in CALLS}
    assert called.keys() == documented.keys()
    for place, call in called.items():
        [good] = [one for status, one in documented[place]["responses"].items() if status.startswith("2")]
        assert call.returns.__name__ in json.dumps(good["content"]["application/json"]["schema"]), place
        assert call.is_repeatable
        with suppress(ApiRefused):  # most of these do not exist
            answer = client.send(call)
            assert isinstance(answer, call.returns)


def test_the_same_without_threads(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    token = api.token(Scope.ADMIN)

    async def talk() -> None:
        async with AsyncApiClient(api.url, token) as client:
            session = await client.send(calls.create_session(NEW, key="once"))
            again = await client.send(calls.create_session(NEW, key="once"))
            assert session == again
            assert [one.id async for one in client.items(calls.list_sessions(limit=1))] == [session.id]
            async for happened in client.events(last="0", subject=session.id):
                assert happened.event.type == "orchestrator.session.created"
                break
            with pytest.raises(ApiRefused, match="unknown_session"):
                await client.send(calls.get_session("none"))
        async with AsyncApiClient("http://127.0.0.1:1", token, tries=2) as nowhere:
            with pytest.raises(ApiUnreachable):
                await nowhere.send(calls.get_session("none"))

    asyncio.run(talk())
