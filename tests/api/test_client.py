"""The Python client: typed answers, retries that do nothing twice, streams that resume."""

import asyncio
from collections.abc import Iterator
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
    ExtendSession,
    Interactions,
    PutAccount,
    PutModel,
    RecordInteractions,
    StartSession,
    calls,
)
from orchestrator.rules.states import State
from orchestrator.rules.values import Scope
from tests.api.stage import Api

NEW = CreateSession(account_id="acme", model_id="llama", name="first", start=False)


@pytest.fixture
def client(api: Api) -> Iterator[ApiClient]:
    """Return a client of the served API that does not wait between tries."""
    token = api.token(Scope.ADMIN, Scope.REVEAL)
    with ApiClient(api.url, token, pause=lambda _: None) as client:
        yield client


def lose(client: ApiClient | AsyncApiClient, monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Lose so many answers, after the request was carried out; return the methods that were sent."""
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
    model = {"id": "meta/x", "provider": "alpha", "provider_model_id": "llama-3", "type": "ASR"}
    priced = model | {"price_per_node_hour": "1.20", "currency": "USD"}
    put = client.send(calls.put_model(PutModel.model_validate(priced)))
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
    with pytest.raises(ApiRefused, match="unauthenticated"), ApiClient(api.url, "wrong", tries=1) as stranger:
        stranger.send(calls.get_session("none"))


def test_events_are_read_and_resumed(api: Api, client: ApiClient) -> None:
    api.create(name="one", start=False)
    [first] = islice(client.events(last="0", type="orchestrator.session"), 1)
    assert first.event.data["name"] == "one"
    api.create(name="two", start=False)
    [second] = islice(client.events(last=first.id, type="orchestrator.session"), 1)
    assert second.event.data["name"] == "two"
    with pytest.raises(ApiRefused, match="invalid_request"):
        next(client.events(last="nonsense"))


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
