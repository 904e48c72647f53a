"""Create a session step by step: name, model, stop conditions; then what it costs, and what admission would answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import QueryParams

from orchestrator.api.callers import caller_of, process_of, unknown_account
from orchestrator.api.problems import Problem
from orchestrator.client.parsing import parse
from orchestrator.client.requests import CreateSession
from orchestrator.console.access import OPERATE
from orchestrator.console.backend import change, find, get
from orchestrator.console.forms import Form, form_of, given
from orchestrator.console.pages import page
from orchestrator.flows.jobs.preview import preview
from orchestrator.flows.reports.choices import choices
from orchestrator.rules.refusals import Refusal
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
    caller.needs_account(account_id)
    found = await process_of(request).read(lambda tx: _offered(request, tx, account_id))
    account = await get(request, f"/accounts/{account_id}")
    return await page(request, "new.html", values=given_so_far, account=account, models=found)


@router.get("/new/name", dependencies=OPERATE)
async def check_name(
    request: Request,
    account_id: Annotated[str, Query(max_length=64)],
    name: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Say whether a name is free in the account."""
    caller_of(request).needs_account(account_id)
    text = name.strip()
    taken = await process_of(request).read(lambda tx: _namesake(tx, account_id, text)) if text else None
    return await page(request, "new_name.html", text=text, taken=taken)


@router.get("/new/review", dependencies=OPERATE)
async def review(request: Request) -> Response:
    """Show what it costs, what is left, and what admission would answer now."""
    return await _reviewed(request, _asked(request.query_params))


@router.post("/new/review", dependencies=OPERATE)
async def create(request: Request) -> Response:
    """Create it, or queue it."""
    form = await form_of(request)
    body = _body(form)
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


def _asked(query: QueryParams) -> Form:
    return Form(dict(query), {})


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


async def _reviewed(request: Request, form: Form, problem: Problem | None = None) -> Response:
    body = _body(form)
    account_id = str(body.get("account_id", ""))
    account = await get(request, f"/accounts/{account_id}")
    model_id = str(body.get("model_id", ""))
    answer = _Answer(session=None, refusal=problem) if problem else await _tried(request, body)
    return await page(
        request,
        "review.html",
        status=problem.status if problem else 200,
        values={name: form.values.get(name, "") for name in (*_FIELDS, "failover")},
        account=account,
        forecast=await get(request, f"/accounts/{account_id}/forecast"),
        model=await find(request, f"/models/{model_id}") if model_id else None,
        nodes=body.get("nodes", 1),
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
