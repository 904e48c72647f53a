"""One function for each request to the HTTP API. `ApiClient` and `AsyncApiClient` send what they return."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from orchestrator.client import cost_resources, installation_resources, requests, resources, webhook_requests
from orchestrator.client.base import Request
from orchestrator.client.outcomes import plain
from orchestrator.rules.states import State

T = TypeVar("T")
Page = TypeVar("Page", bound=resources.Resource)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiCall(Generic[T]):
    """One request, and the shape of its answer."""

    method: str
    path: str
    returns: type[T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_repeatable(self) -> bool:
        """Whether a second one does no harm: it only reads, or its key makes both one."""
        return self.method == "GET" or "Idempotency-Key" in self.headers

    def behind(self, cursor: str) -> "ApiCall[T]":
        """Return the request for the page that begins there."""
        return replace(self, query={**self.query, "after": cursor})


# sessions


def create_session(
    request: requests.CreateSession, *, key: str | None = None
) -> ApiCall[resources.SessionResource]:
    """Create a session. `key`: the Idempotency-Key; by default a new one, the same for all retries."""
    return _job("POST", "/sessions", resources.SessionResource, _content(request), key)


def get_session(
    session_id: str, *, wait_for: State | None = None, timeout: float = 30
) -> ApiCall[resources.SessionResource]:
    """Read a session; with `wait_for`, once it is in that state or has ended, or the time is over (seconds)."""
    query = {"wait_for": wait_for.value, "timeout": timeout} if wait_for is not None else {}
    return _read(f"/sessions/{_part(session_id)}", resources.SessionResource, query)


def list_sessions(
    *,
    state: Sequence[State] = (),
    account: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    name: str | None = None,
    search: str | None = None,
    unproven: bool | None = None,
    since: datetime | None = None,
    limit: int = 100,
) -> ApiCall[resources.SessionPageResource]:
    """List sessions, newest first. `search`: how their names or ids begin."""
    query = {
        "state": [one.value for one in state],
        "account": account,
        "provider": provider,
        "model": model,
        "name": name,
        "search": search,
        "unproven": unproven,
        "since": since,
        "limit": limit,
    }
    return _read("/sessions", resources.SessionPageResource, query)


def explain_session(session_id: str) -> ApiCall[resources.ExplanationResource]:
    """Read why a session is in its state."""
    return _read(f"/sessions/{_part(session_id)}/explain", resources.ExplanationResource)


def get_endpoint(session_id: str, *, reveal: bool = False) -> ApiCall[resources.RevealedEndpointResource]:
    """Read where a running session is reached; with its secret, where the token has the scope `reveal`."""
    query = {"reveal": reveal}
    return _read(f"/sessions/{_part(session_id)}/endpoint", resources.RevealedEndpointResource, query)


def start_session(
    request: requests.StartSession, *, key: str | None = None
) -> ApiCall[resources.SessionResource]:
    """Start a session that was created without starting."""
    return _on_session("start", request, resources.SessionResource, key)


def close_session(
    request: requests.CloseSession, *, key: str | None = None
) -> ApiCall[resources.CloseResource]:
    """Close a session."""
    return _on_session("close", request, resources.CloseResource, key)


def extend_session(
    request: requests.ExtendSession, *, key: str | None = None
) -> ApiCall[resources.SessionResource]:
    """Raise a session's own limits."""
    return _on_session("extend", request, resources.SessionResource, key)


def ping_session(session_id: str, *, key: str | None = None) -> ApiCall[resources.SessionResource]:
    """Ping a session now."""
    return _job("POST", f"/sessions/{_part(session_id)}/ping", resources.SessionResource, {}, key)


def delete_session(session_id: str, *, key: str | None = None) -> ApiCall[resources.SessionResource]:
    """Delete a session that has ended or never started."""
    return _job("DELETE", f"/sessions/{_part(session_id)}", resources.SessionResource, None, key)


def record_interactions(
    request: requests.RecordInteractions, *, key: str | None = None
) -> ApiCall[resources.InteractionsResource]:
    """Report interactions; under one key they count once."""
    return _job("POST", "/interactions", resources.InteractionsResource, _content(request), key)


# accounts and models


def get_account(account_id: str) -> ApiCall[resources.AccountResource]:
    """Read an account."""
    return _read(f"/accounts/{_part(account_id)}", resources.AccountResource)


def put_account(
    request: requests.PutAccount, *, key: str | None = None
) -> ApiCall[resources.AccountResource]:
    """Create or change an account."""
    path = f"/accounts/{_part(request.account_id)}"
    return _job("PUT", path, resources.AccountResource, _content(request, "account_id"), key)


def credit_account(
    request: requests.CreditAccount, *, key: str | None = None
) -> ApiCall[resources.CreditResource]:
    """Give an account money."""
    path = f"/accounts/{_part(request.account_id)}/credits"
    return _job("POST", path, resources.CreditResource, _content(request, "account_id"), key)


def list_ledger(account_id: str, *, limit: int = 100) -> ApiCall[resources.LedgerPageResource]:
    """List an account's ledger, newest first."""
    path = f"/accounts/{_part(account_id)}/ledger"
    return _read(path, resources.LedgerPageResource, {"limit": limit})


def get_forecast(account_id: str) -> ApiCall[resources.ForecastResource]:
    """Read what an account burns, and when its funds end."""
    return _read(f"/accounts/{_part(account_id)}/forecast", resources.ForecastResource)


def get_budgets(account_id: str) -> ApiCall[cost_resources.BudgetsResource]:
    """Read the budgets of an account, and what is used of them."""
    return _read(f"/accounts/{_part(account_id)}/budgets", cost_resources.BudgetsResource)


def budget_account(
    request: requests.BudgetAccount, *, key: str | None = None
) -> ApiCall[cost_resources.BudgetsResource]:
    """Give an account a budget for a period, change it, or take it away."""
    path = f"/accounts/{_part(request.account_id)}/budgets/{request.period}"
    return _job("PUT", path, cost_resources.BudgetsResource, _content(request, "account_id", "period"), key)


def get_costs(
    *, by: str = "account", account: str | None = None, since: str | None = None, limit: int = 50
) -> ApiCall[cost_resources.CostsResource]:
    """Read what was spent since a day, burns, and is expected, by account, model, provider or day."""
    query = {"by": by, "account": account, "since": since, "limit": limit}
    return _read("/costs", cost_resources.CostsResource, query)


def list_models(*, limit: int = 100) -> ApiCall[resources.ModelPageResource]:
    """List models."""
    return _read("/models", resources.ModelPageResource, {"limit": limit})


def put_model(request: requests.PutModel, *, key: str | None = None) -> ApiCall[resources.ModelResource]:
    """Create or replace a model."""
    path = f"/models/{_part(request.id)}"
    return _job("PUT", path, resources.ModelResource, _content(request, "id"), key)


# the installation


def get_job(key: str) -> ApiCall[installation_resources.JobResource]:
    """Read the outcome of a request by its key."""
    return _read(f"/jobs/{_part(key)}", installation_resources.JobResource)


def get_overview() -> ApiCall[installation_resources.OverviewResource]:
    """Read what lives, what it costs, what is late, and the last hour."""
    return _read("/overview", installation_resources.OverviewResource)


def get_provider(name: str) -> ApiCall[installation_resources.ProviderDetailResource]:
    """Read a provider with its card and the last hour."""
    return _read(f"/providers/{_part(name)}", installation_resources.ProviderDetailResource)


def list_queue(
    *, account: str | None = None, limit: int = 100
) -> ApiCall[installation_resources.WaitingPageResource]:
    """List queued sessions."""
    return _read("/queue", installation_resources.WaitingPageResource, {"account": account, "limit": limit})


# webhooks


def list_webhooks() -> ApiCall[installation_resources.WebhookListResource]:
    """List webhooks, with what did not arrive there."""
    return _read("/webhooks", installation_resources.WebhookListResource)


def get_webhook(name: str) -> ApiCall[installation_resources.WebhookResource]:
    """Read a webhook."""
    return _read(f"/webhooks/{_part(name)}", installation_resources.WebhookResource)


def put_webhook(
    name: str, request: webhook_requests.PutWebhook, *, key: str | None = None
) -> ApiCall[installation_resources.WebhookPutResource]:
    """Add a webhook, or change it."""
    path = f"/webhooks/{_part(name)}"
    return _job("PUT", path, installation_resources.WebhookPutResource, _content(request), key)


def delete_webhook(
    name: str, *, key: str | None = None
) -> ApiCall[installation_resources.WebhookDeletedResource]:
    """Delete a webhook, with what waits for it."""
    path = f"/webhooks/{_part(name)}"
    return _job("DELETE", path, installation_resources.WebhookDeletedResource, None, key)


def try_webhook(name: str, *, key: str | None = None) -> ApiCall[installation_resources.WebhookTriedResource]:
    """Send a signed event of the type `orchestrator.webhook.test`."""
    path = f"/webhooks/{_part(name)}/test"
    return _job("POST", path, installation_resources.WebhookTriedResource, {}, key)


def list_dead_letters(name: str) -> ApiCall[installation_resources.DeliveryListResource]:
    """List the events that were given up."""
    path = f"/webhooks/{_part(name)}/dead-letters"
    return _read(path, installation_resources.DeliveryListResource)


def replay_webhook(
    name: str, request: webhook_requests.ReplayWebhook, *, key: str | None = None
) -> ApiCall[installation_resources.DeliveryListResource]:
    """Send dead letters, or any event that is still kept, again."""
    path = f"/webhooks/{_part(name)}/replay"
    return _job("POST", path, installation_resources.DeliveryListResource, _content(request), key)


def _read(path: str, returns: type[T], query: Mapping[str, Any] | None = None) -> ApiCall[T]:
    given = {name: plain(value) for name, value in (query or {}).items() if value not in (None, [])}
    return ApiCall(method="GET", path=path, returns=returns, query=given)


def _job(
    method: str, path: str, returns: type[T], body: Mapping[str, Any] | None, key: str | None
) -> ApiCall[T]:
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    return ApiCall(method=method, path=path, returns=returns, body=body, headers=headers)


def _on_session(
    verb: str,
    request: requests.StartSession | requests.CloseSession | requests.ExtendSession,
    returns: type[T],
    key: str | None,
) -> ApiCall[T]:
    path = f"/sessions/{_part(request.session_id)}/{verb}"
    return _job("POST", path, returns, _content(request, "session_id"), key)


def _content(request: Request, *without: str) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_defaults=True, exclude=set(without))


def _part(name: str) -> str:
    return quote(name, safe="")
