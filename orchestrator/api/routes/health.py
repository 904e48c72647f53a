"""Whether the process is well, for load balancers; without a token."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from orchestrator.api.callers import process_of
from orchestrator.api.documents import PROBES
from orchestrator.api.problems import ApiCode, Problem, answer, unavailable
from orchestrator.store.database import StoreError, StoreUnavailable

router = APIRouter(tags=["health"])


@router.get("/healthz", **PROBES[0])
async def healthz() -> JSONResponse:
    """Answer that the process lives."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", **PROBES[1])
async def readyz(request: Request) -> JSONResponse:
    """Answer whether requests can be carried out: the database answers, and has the tables."""
    process = process_of(request)
    if process.leaving.is_set():
        return answer(unavailable("the process is about to end"))
    try:
        await process.look(process.services.database.check)
    except (StoreUnavailable, StoreError):
        return answer(unavailable("the database cannot be used: the log of the API process says why"))
    return JSONResponse({"status": "ok"})


@router.get("/metrics", include_in_schema=False)
async def metrics() -> JSONResponse:
    """Answer where metrics are: no token is asked for, as what scrapes has none."""
    message = "this port has no metrics: they are at ORCHESTRATOR_METRICS_PORT, if it is set"
    return answer(Problem(ApiCode.NOT_FOUND, message))
