"""One function for each request to the HTTP API. `ApiClient` and `AsyncApiClient` send what they return."""

from collections.abc import Sequence
from datetime import datetime

from orchestrator.client import cost_resources, requests, resources
from orchestrator.client.api_call import ApiCall, T, ask, content, job, part, read
from orchestrator.client.close_many import CloseMany
from orchestrator.client.installation_calls import (
    check_provider,
    delete_webhook,
    get_audit,
    get_job,
    get_overview,
    get_provider,
    get_webhook,
    list_alarms,
    list_dead_letters,
    list_events,
    list_orphans,
    list_providers,
    list_queue,
    list_unproven,
    list_webhooks,
    put_webhook,
    reconcile,
    release_brake,
    replay_webhook,
    try_policy,
    try_webhook,
)
from orchestrator.rules.states import State

__all__ = [
    "ApiCall",
    "budget_account",
    "check_provider",
    "close_many",
    "close_session",
    "create_session",
    "credit_account",
    "debit_account",
    "delete_session",
    "delete_webhook",
    "explain_session",
    "extend_session",
    "get_account",
    "get_audit",
    "get_budgets",
    "get_costs",
    "get_endpoint",
    "get_forecast",
    "get_job",
    "get_model",
    "get_overview",
    "get_provider",
    "get_session",
    "get_webhook",
    "list_accounts",
    "list_alarms",
    "list_dead_letters",
    "list_events",
    "list_events_of_session",
    "list_ledger",
    "list_models",
    "list_orphans",
    "list_providers",
    "list_queue",
    "list_sessions",
    "list_unproven",
    "list_webhooks",
    "ping_session",
    "plan_close",
    "put_account",
    "put_model",
    "put_webhook",
    "reconcile",
    "record_interactions",
    "release_brake",
    "replay_webhook",
    "start_session",
    "try_policy",
    "try_webhook",
]

# sessions


def create_session(
    request: requests.CreateSession, *, key: str | None = None
) -> ApiCall[resources.SessionResource]:
    """Create a session. `key`: the Idempotency-Key; by default a new one, the same for all retries."""
    return job("POST", "/sessions", resources.SessionResource, content(request), key)


def get_session(
    session_id: str, *, wait_for: State | None = None, timeout: float = 30
) -> ApiCall[resources.SessionResource]:
    """Read a session; with `wait_for`, once it is in that state or has ended, or the time is over (seconds)."""
    query = {"wait_for": wait_for.value, "timeout": timeout} if wait_for is not None else {}
    return read(f"/sessions/{part(session_id)}", resources.SessionResource, query)


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
    return read("/sessions", resources.SessionPageResource, query)


def explain_session(session_id: str) -> ApiCall[resources.ExplanationResource]:
    """Read why a session is in its state."""
    return read(f"/sessions/{part(session_id)}/explain", resources.ExplanationResource)


def get_endpoint(session_id: str, *, reveal: bool = False) -> ApiCall[resources.RevealedEndpointResource]:
    """Read where a running session is reached; with its secret, where the token has the scope `reveal`."""
    query = {"reveal": reveal}
    return read(f"/sessions/{part(session_id)}/endpoint", resources.RevealedEndpointResource, query)


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
    return job("POST", f"/sessions/{part(session_id)}/ping", resources.SessionResource, {}, key)


def delete_session(session_id: str, *, key: str | None = None) -> ApiCall[resources.SessionResource]:
    """Delete a session that has ended or never started."""
    return job("DELETE", f"/sessions/{part(session_id)}", resources.SessionResource, None, key)


def record_interactions(
    request: requests.RecordInteractions, *, key: str | None = None
) -> ApiCall[resources.InteractionsResource]:
    """Report interactions; under one key they count once."""
    return job("POST", "/interactions", resources.InteractionsResource, content(request), key)


def list_events_of_session(session_id: str, *, limit: int = 100) -> ApiCall[resources.EventPageResource]:
    """List a session's events, oldest first, as far as they are kept."""
    return read(f"/sessions/{part(session_id)}/events", resources.EventPageResource, {"limit": limit})


def plan_close(request: CloseMany) -> ApiCall[resources.ClosePlanResource]:
    """Read what a close of many would hit, with the plan that closes exactly these."""
    return ask("/sessions:close", resources.ClosePlanResource, content(request, "dry_run", "plan"))


def close_many(
    request: CloseMany, plan: str, *, key: str | None = None
) -> ApiCall[resources.ManyClosedResource]:
    """Close the sessions of a plan, which is of the same request."""
    body = {**content(request, "dry_run", "plan"), "dry_run": False, "plan": plan}
    return job("POST", "/sessions:close", resources.ManyClosedResource, body, key)


# accounts and models


def list_accounts(*, limit: int = 100) -> ApiCall[resources.AccountPageResource]:
    """List accounts."""
    return read("/accounts", resources.AccountPageResource, {"limit": limit})


def get_account(account_id: str) -> ApiCall[resources.AccountResource]:
    """Read an account."""
    return read(f"/accounts/{part(account_id)}", resources.AccountResource)


def put_account(
    request: requests.PutAccount, *, key: str | None = None
) -> ApiCall[resources.AccountResource]:
    """Create or change an account."""
    path = f"/accounts/{part(request.account_id)}"
    return job("PUT", path, resources.AccountResource, content(request, "account_id"), key)


def credit_account(
    request: requests.CreditAccount, *, key: str | None = None
) -> ApiCall[resources.CreditResource]:
    """Give an account money."""
    path = f"/accounts/{part(request.account_id)}/credits"
    return job("POST", path, resources.CreditResource, content(request, "account_id"), key)


def debit_account(
    request: requests.DebitAccount, *, key: str | None = None
) -> ApiCall[resources.CreditResource]:
    """Take back money that was credited by mistake."""
    path = f"/accounts/{part(request.account_id)}/debits"
    return job("POST", path, resources.CreditResource, content(request, "account_id"), key)


def list_ledger(account_id: str, *, limit: int = 100) -> ApiCall[resources.LedgerPageResource]:
    """List an account's ledger, newest first."""
    path = f"/accounts/{part(account_id)}/ledger"
    return read(path, resources.LedgerPageResource, {"limit": limit})


def get_forecast(account_id: str) -> ApiCall[resources.ForecastResource]:
    """Read what an account burns, and when its funds end."""
    return read(f"/accounts/{part(account_id)}/forecast", resources.ForecastResource)


def get_budgets(account_id: str) -> ApiCall[cost_resources.BudgetsResource]:
    """Read the budgets of an account, and what is used of them."""
    return read(f"/accounts/{part(account_id)}/budgets", cost_resources.BudgetsResource)


def budget_account(
    request: requests.BudgetAccount, *, key: str | None = None
) -> ApiCall[cost_resources.BudgetsResource]:
    """Give an account a budget for a period, change it, or take it away."""
    path = f"/accounts/{part(request.account_id)}/budgets/{request.period}"
    return job("PUT", path, cost_resources.BudgetsResource, content(request, "account_id", "period"), key)


def get_costs(
    *, by: str = "account", account: str | None = None, since: str | None = None, limit: int = 50
) -> ApiCall[cost_resources.CostsResource]:
    """Read what was spent since a day, burns, and is expected, by account, model, provider or day."""
    query = {"by": by, "account": account, "since": since, "limit": limit}
    return read("/costs", cost_resources.CostsResource, query)


def list_models(*, limit: int = 100) -> ApiCall[resources.ModelPageResource]:
    """List models."""
    return read("/models", resources.ModelPageResource, {"limit": limit})


def get_model(model_id: str) -> ApiCall[resources.ModelResource]:
    """Read a model."""
    return read(f"/models/{part(model_id)}", resources.ModelResource)


def put_model(request: requests.PutModel, *, key: str | None = None) -> ApiCall[resources.ModelResource]:
    """Create or replace a model."""
    path = f"/models/{part(request.id)}"
    return job("PUT", path, resources.ModelResource, content(request, "id"), key)


def _on_session(
    verb: str,
    request: requests.StartSession | requests.CloseSession | requests.ExtendSession,
    returns: type[T],
    key: str | None,
) -> ApiCall[T]:
    path = f"/sessions/{part(request.session_id)}/{verb}"
    return job("POST", path, returns, content(request, "session_id"), key)
