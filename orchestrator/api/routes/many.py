"""Close many sessions by a filter: first a dry run, then its plan."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import body_of, model_of
from orchestrator.api.callers import Caller, caller_of, process_of
from orchestrator.api.documents import describes
from orchestrator.api.jobs import KEY, REPLAYED, key_of
from orchestrator.api.problems import ApiCode, Problem, fault, invalid
from orchestrator.client import resources
from orchestrator.client.close_many import CloseMany
from orchestrator.client.outcomes import succeeded
from orchestrator.flows.jobs.close_many import CLOSE, close_arguments, confirmed, planned, task_id_of
from orchestrator.flows.jobs.perform import perform_once
from orchestrator.rules.close_plans import ClosePlan, PlanChanged, plan_in
from orchestrator.rules.refusals import ErrorCode
from orchestrator.rules.values import Scope
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["sessions"])

#: The request in the inbox, beside the jobs that it consists of.
_NAME = "orchestrator.api.close_many"
_PLANNED = {
    "application/json": {
        "schema": {
            "anyOf": [
                {"$ref": "#/components/schemas/ClosePlanResource"},
                {"$ref": "#/components/schemas/ManyClosedResource"},
            ]
        }
    }
}


@router.post(
    "/sessions:close",
    **describes(
        Scope.OPERATE,
        resources.ClosePlanResource,
        errors=(404,),
        body=CloseMany,
        job=True,
        example={"account_id": "acme", "state": ["running"], "dry_run": True},
        also=_PLANNED,
        also_models=(resources.ManyClosedResource,),
    ),
)
async def close_many(request: Request) -> JSONResponse:
    """Close many sessions. A dry run, which is the default, answers with their number, a sample, what they cost, and a
    `plan`. Send the same request with `dry_run` false and that `plan` to close them: 409 `plan_changed` where others
    fit by now. Each close is a job of its own, so that a repeated request continues where the first one ended; once all
    are closed, it gets the first answer."""
    caller, process, key = caller_of(request), process_of(request), key_of(request)
    wanted = _bound(caller, model_of(CloseMany, await body_of(request)))
    if wanted.reason == "operator":
        caller.needs(Scope.ADMIN)
    if wanted.dry_run:
        return JSONResponse(await process.read(lambda tx: planned(tx, wanted)))
    if wanted.plan is None:
        raise invalid(fault("plan", "is needed where dry_run is false: a dry run answers with it", "missing"))
    plan, task_id = _plan(wanted.plan), caller.task_id(key)
    transact = process.services.database.transact
    begun = await process.change(lambda: transact(lambda tx: _begin(tx, task_id, caller, wanted, plan)))
    if begun.result is not None:
        return JSONResponse(begun.result, headers={KEY: key, REPLAYED: "true"})
    refused = [one for n in begun.ids if (one := await _close(request, task_id, n, wanted)) is not None]
    result = {"count": len(begun.ids), "closed": len(begun.ids) - len(refused), "refused": refused}
    await process.change(lambda: transact(lambda tx: tx.inbox.settle(task_id, succeeded(result))))
    return JSONResponse(result, headers={KEY: key})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Begun:
    """What a request closes, and its result where an earlier one under the same key has closed it."""

    ids: Sequence[str] = ()
    result: Mapping[str, Any] | None = None


def _begin(tx: Transaction, task_id: str, caller: Caller, wanted: CloseMany, plan: ClosePlan) -> _Begun:
    """Check the plan, and record the request with its sessions; a repeated one continues with these. Raises Problem for
    a key of another request."""
    now = tx.now()
    fingerprint = hashlib.sha256(wanted.model_dump_json().encode()).hexdigest()
    if tx.inbox.take(task_id, _NAME, now, fingerprint, caller.token.name):
        try:
            ids = confirmed(tx, wanted, plan)
        except PlanChanged as changed:
            raise Problem(ApiCode.PLAN_CHANGED, str(changed)) from None
        tx.inbox.keep_parts(task_id, {"ids": ids})
        return _Begun(ids=ids)
    known = tx.inbox.lock(task_id)
    if known is None or known.is_another(_NAME, fingerprint):
        message = f"the {KEY} belongs to another request, or to this one with another body"
        raise Problem(ErrorCode.CONFLICT, message, status=422)
    if known.outcome is not None:
        return _Begun(result=known.outcome["result"])
    return _Begun(ids=(known.parts or {}).get("ids", ()))


async def _close(
    request: Request, task_id: str, session_id: str, wanted: CloseMany
) -> Mapping[str, Any] | None:
    """Close one session; return its refusal, or None."""
    process, author = process_of(request), caller_of(request).token.name
    mine, kwargs = task_id_of(task_id, session_id), close_arguments(wanted, session_id)
    done = await process.change(lambda: perform_once(process.services, mine, CLOSE, kwargs, author=author))
    if done.outcome["ok"]:
        return None
    error = done.outcome["error"]
    return {"session_id": session_id, "code": error["code"], "message": error["message"]}


def _plan(text: str) -> ClosePlan:
    try:
        return plan_in(text)
    except PlanChanged as changed:
        raise Problem(ApiCode.PLAN_CHANGED, str(changed)) from None


def _bound(caller: Caller, wanted: CloseMany) -> CloseMany:
    if caller.account_id is None:
        return wanted
    if wanted.account_id is not None:
        caller.needs_account(wanted.account_id)
    return wanted.model_copy(update={"account_id": caller.account_id})
