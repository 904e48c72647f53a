"""Create a session step by step: name, model, stop conditions; then what it costs, and what admission would answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from orchestrator.api.callers import caller_of, process_of, unknown_account
from orchestrator.api.parameters import Account
from orchestrator.api.problems import Problem
from orchestrator.client.parsing import parse
from orchestrator.client.requests import CreateSession
from orchestrator.console.access import OPERATE
from orchestrator.console.backend import change, find, get
from orchestrator.console.forms import Form, form_of, given
from orchestrator.console.pages import page
from orchestrator.console.views.accounts import forecast_of
from orchestrator.flows.jobs.preview import preview
from orchestrator.flows.reports.choices import choices
from orchestrator.rules.refusals import Refusal
from orchestrator.rules.text import line_fault
from orchestrator.store.transaction import Transaction

router = APIRouter()

_JOB = "orchestrator.session.create"
#: The fields that lead from step to step.
_FIELDS = (
    "account_id",
    "name",
    "description",
    "model_id",
    "nodes",
    "minutes",
    "interactions",
    "idle",
    "cost",
    "failover",
)


@router.get("/new", dependencies=OPERATE)
async def choose(request: Request) -> Response:
    """Ask for name, model and stop conditions; first for the account, where several may be meant."""
    given_so_far = {name: request.query_params.get(name, "") for name in _FIELDS}
    caller = caller_of(request)
    account_id = given_so_far["account_id"] or caller.account_id
    if not account_id:
        found = await get(request, "/accounts", {"limit": 200})
        return await page(request, "new_account.html", found=found["items"])
    return await _asked_again(request, account_id, given_so_far)


@router.get("/new/name", dependencies=OPERATE)
async def check_name(
    request: Request, account_id: Account = None, name: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Say whether a name is free in the account, or what is wrong with it."""
    mine = account_id or caller_of(request).account_id or ""
    caller_of(request).needs_account(mine)
    text = name.strip()
    fault = line_fault(text)
    asks = bool(text) and fault is None
    taken = await process_of(request).read(lambda tx: _namesake(tx, mine, text)) if asks else None
    return await page(request, "new_name.html", text=text, fault=fault, taken=taken)


@router.get("/new/review", dependencies=OPERATE)
async def review(request: Request) -> Response:
    """Show what it costs, what is left, and what admission would answer now."""
    form = Form(dict(request.query_params), {})
    if form.text("account_id") is None:
        return RedirectResponse("/new", 303)
    return await _reviewed(request, form)


@router.post("/new/review", dependencies=OPERATE)
async def create(request: Request) -> Response:
    """Create it, or queue it."""
    form = await form_of(request)
    try:
        body = _body(form)
    except Problem as problem:
        return await _asked_again(request, form.text("account_id") or "", form.values, problem)
    if form.text("how") == "queue":
        body["on_quota"] = "queue"
    if form.text("how") == "later":
        body["start"] = False
    try:
        session = await change(request, "POST", "/sessions", body, key=form.key)
    except Problem as problem:
        return await _reviewed(request, form, problem)
    done = "queued" if session["state"] == "queued" else "created"
    return RedirectResponse(f"/sessions/{session['id']}?done={done}", 303)


async def _asked_again(
    request: Request, account_id: str, values: Mapping[str, str], problem: Problem | None = None
) -> Response:
    """Ask for name, model and stop conditions, with what was given so far, and what is wrong with it."""
    caller_of(request).needs_account(account_id)
    account = await get(request, f"/accounts/{account_id}")
    found = await process_of(request).read(lambda tx: _offered(request, tx, account_id))
    return await page(
        request,
        "new.html",
        status=problem.status if problem else 200,
        values={name: values.get(name, "") for name in _FIELDS},
        account=account,
        models=found,
        problem=problem,
    )


def _body(form: Form) -> dict[str, Any]:
    stop = given(
        max_duration_seconds=form.number("minutes", 60),
        max_interactions=form.number("interactions"),
        idle_seconds=form.number("idle", 60),
        max_cost=form.text("cost"),
    )
    return given(
        account_id=form.text("account_id"),
        model_id=form.text("model_id"),
        name=form.text("name"),
        description=form.text("description"),
        nodes=form.number("nodes"),
        failover=True if form.is_set("failover") else None,
        stop=stop,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Answer:
    """What admission would answer."""

    session: Mapping[str, Any] | None
    refusal: Refusal | Problem | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Price:
    """What a session of this model costs, and how long the money lasts with it."""

    currency: str
    per_hour: Decimal
    with_all: Decimal | None
    """With all that runs in the account; None if it pays in another currency."""
    lasts_seconds: float | None
    """None: for ever."""
    whole: Decimal | None
    """For all of its duration, where it has one."""

    @classmethod
    def of(
        cls,
        model: Mapping[str, Any],
        body: Mapping[str, Any],
        account: Mapping[str, Any],
        forecast: Mapping[str, Any],
    ) -> "_Price":
        per_hour = Decimal(model["price_per_node_hour"]) * body.get("nodes", 1)
        seconds = body.get("stop", {}).get("max_duration_seconds")
        with_all = None
        if model["currency"] == account["currency"]:
            with_all = Decimal(forecast["burn_per_hour"]) + per_hour
        return cls(
            currency=model["currency"],
            per_hour=per_hour,
            with_all=with_all,
            lasts_seconds=float(Decimal(forecast["available"]) / with_all * 3600) if with_all else None,
            whole=None if seconds is None else round(per_hour * seconds / 3600, 6),
        )


async def _reviewed(request: Request, form: Form, problem: Problem | None = None) -> Response:
    account_id = form.text("account_id") or ""
    try:
        body = _body(form)
    except Problem as wrong:
        return await _asked_again(request, account_id, form.values, wrong)
    account = await get(request, f"/accounts/{account_id}")
    model_id = str(body.get("model_id", ""))
    model = await find(request, f"/models/{model_id}") if model_id else None
    forecast = await forecast_of(request, account_id, 1)
    answer = _Answer(session=None, refusal=problem) if problem else await _tried(request, body)
    return await page(
        request,
        "review.html",
        status=problem.status if problem else 200,
        values={name: form.values.get(name, "") for name in _FIELDS},
        account=account,
        forecast=forecast,
        nodes=body.get("nodes", 1),
        price=None if model is None else _Price.of(model, body, account, forecast),
        answer=answer,
        queued=None if answer.session else await _tried(request, {**body, "on_quota": "queue"}),
    )


async def _tried(request: Request, body: Mapping[str, Any]) -> _Answer:
    """Return what admission would answer to this now. Nothing is kept."""
    process = process_of(request)
    try:
        wanted = parse(_JOB, dict(body))
        assert isinstance(wanted, CreateSession)
        session = await process.change(lambda: preview(process.services, wanted))
    except Refusal as refusal:
        return _Answer(session=None, refusal=refusal)
    return _Answer(session=session, refusal=None)


def _offered(request: Request, tx: Transaction, account_id: str) -> list[dict[str, Any]]:
    account = tx.accounts.get(account_id)
    if account is None:
        raise unknown_account(account_id)
    return choices(tx, process_of(request).services.config, account)


def _namesake(tx: Transaction, account_id: str, name: str) -> str | None:
    return tx.sessions.by_name(account_id, name) or tx.archive.by_name(account_id, name)
