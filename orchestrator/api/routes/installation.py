"""The installation: what costs money without proof, what waits, what alarms, jobs, and reconcile."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import no_body
from orchestrator.api.callers import caller_of, process_of
from orchestrator.api.documents import describes
from orchestrator.api.jobs import operate
from orchestrator.api.parameters import Account, After, Limit, Provider
from orchestrator.api.problems import ApiCode, Problem
from orchestrator.api.routes.providers import needs_provider
from orchestrator.client import installation_resources as resources
from orchestrator.flows.reconcile.reconcile_due import reconcile
from orchestrator.flows.reconcile.reports import ReconcileOptions, as_json_of
from orchestrator.flows.reports import installation_reports, leftovers
from orchestrator.flows.reports.cursors import behind_of, cursor_of
from orchestrator.flows.reports.overview import overview
from orchestrator.rules.events import rfc3339
from orchestrator.rules.values import Scope
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["installation"])

#: Unproven closes that are listed; more than ever are, while the platform is well.
MOST_UNPROVEN = 1_000
TaskId = Annotated[
    str,
    Path(pattern="^[ -~]{1,255}$", description="The task id or Idempotency-Key.", examples=["order-4711"]),
]


@router.get("/overview", **describes(Scope.READ, resources.OverviewResource, all_accounts=True))
async def get_overview(request: Request) -> JSONResponse:
    """Return what lives, what it costs, what is late, who works, and the last hour minute by minute."""
    return JSONResponse(await process_of(request).read(lambda tx: overview(tx, tx.now())))


@router.get("/unproven", **describes(Scope.READ, resources.LeftoverListResource, errors=(404,)))
async def list_unproven(request: Request, account: Account = None) -> JSONResponse:
    """List closes that the provider has not confirmed, oldest first, with age, tries, last answer and money at risk;
    then those that were forced."""
    caller = caller_of(request)
    if account is not None:
        caller.needs_account(account)
    mine = caller.account_id or account

    def read(tx: Transaction) -> Mapping[str, Any]:
        return {"items": leftovers.listed(tx, tx.now(), account_id=mine, limit=MOST_UNPROVEN)}

    return JSONResponse(await process_of(request).read(read))


@router.get("/orphans", **describes(Scope.READ, resources.LeftoverListResource, all_accounts=True))
async def list_orphans(request: Request, provider: Provider = None) -> JSONResponse:
    """List what lives at providers without a session of ours, then opens that may have left more than is known."""
    return JSONResponse(
        await process_of(request).read(lambda tx: {"items": leftovers.orphans(tx, tx.now(), provider)})
    )


@router.get("/queue", **describes(Scope.READ, resources.WaitingPageResource, errors=(404,)))
async def list_queue(
    request: Request, account: Account = None, limit: Limit = 50, after: After = None
) -> JSONResponse:
    """List queued sessions, oldest first: what each waits for, and since when."""
    caller, behind = caller_of(request), behind_of(after)
    if account is not None:
        caller.needs_account(account)
    mine = caller.account_id or account

    def read(tx: Transaction) -> Mapping[str, Any]:
        sessions, following = tx.pages.queue(limit, behind, mine)
        items = installation_reports.queue(tx, sessions, tx.now())
        return {"items": items, "next": cursor_of(following)}

    return JSONResponse(await process_of(request).read(read))


@router.get("/audit", **describes(Scope.READ, resources.AuditResource, all_accounts=True))
async def get_audit(request: Request) -> JSONResponse:
    """Return the checks of the audit, with the violations that are still open after its last run."""
    return JSONResponse(await process_of(request).read(installation_reports.audit))


@router.get("/alarms", **describes(Scope.READ, resources.AlarmsResource, all_accounts=True))
async def list_alarms(request: Request) -> JSONResponse:
    """Return every open alarm."""
    return JSONResponse(await process_of(request).read(installation_reports.alarms))


@router.get("/jobs/{task_id:path}", **describes(Scope.READ, resources.JobResource, errors=(404,)))
async def get_job(request: Request, task_id: TaskId) -> JSONResponse:
    """Return a job's outcome by its task id, which is the `Idempotency-Key` of a request. A token of one account finds
    the requests under its account's tokens."""
    mine = caller_of(request).task_id(task_id)
    known = await process_of(request).read(lambda tx: tx.inbox.known(mine))
    if known is None:
        raise Problem(ApiCode.NOT_FOUND, "no job is known under this task id: outcomes are kept for 30 days")
    return JSONResponse(
        {
            "id": task_id,
            "name": known.name,
            "received_at": rfc3339(known.received_at),
            "author": known.author,
            "outcome": known.outcome,
        }
    )


@router.post(
    "/reconcile",
    **describes(Scope.ADMIN, resources.ReconcileResource, errors=(404,), all_accounts=True, job=True),
)
async def compare(
    request: Request,
    provider: Provider = None,
    dry_run: Annotated[bool, Query(description="Write nothing; show what would be done.")] = True,  # noqa: FBT002
    max_share: Annotated[
        float | None,
        Query(
            ge=0, le=1, allow_inf_nan=False, description="Change up to this share of a provider's sessions."
        ),
    ] = None,
) -> JSONResponse:
    """Compare what lives at providers with what is known. Nothing is changed unless `dry_run` is false."""
    process = process_of(request)
    await no_body(request)
    if provider is not None:
        needs_provider(process.services, provider)
    options = ReconcileOptions(dry_run=dry_run, max_share=max_share)

    def work() -> Mapping[str, Any]:
        lists = [as_json_of(one) for one in reconcile(process.services, options, provider)]
        with process.services.database.reading() as tx:
            possible = leftovers.possible(tx, tx.now(), provider)
        return {"dry_run": dry_run, "lists": lists, "possible_orphans": possible}

    arguments = {"provider": provider, "dry_run": dry_run, "max_share": max_share}
    return await operate(request, "reconcile", arguments, work)
