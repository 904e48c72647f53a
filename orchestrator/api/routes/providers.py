"""Providers: their state, a check, and the release of a brake."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import no_body
from orchestrator.api.callers import process_of
from orchestrator.api.documents import describes
from orchestrator.api.jobs import operate
from orchestrator.api.parameters import ProviderName
from orchestrator.api.problems import ApiCode, Problem
from orchestrator.client import installation_resources as resources
from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.provider_check import check_provider
from orchestrator.flows.reports.history import last_hour
from orchestrator.flows.reports.provider_reports import known_of, reports
from orchestrator.flows.upstream.brake import release_brakes
from orchestrator.rules.values import Scope
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["providers"])


@router.get("/providers", **describes(Scope.READ, resources.ProviderListResource, all_accounts=True))
async def list_providers(request: Request) -> JSONResponse:
    """List providers with their credentials (by reference), brakes, alarms, and what pings have cost. Which secrets are
    missing is said of the machine of the API process."""
    services = process_of(request).services
    items = await process_of(request).read(lambda tx: _reports(services, tx))
    return JSONResponse({"items": items})


@router.get(
    "/providers/{name}",
    **describes(Scope.READ, resources.ProviderDetailResource, errors=(404,), all_accounts=True),
)
async def get_provider(request: Request, name: ProviderName) -> JSONResponse:
    """Return one provider with its card, and its pings, starts, opens and closes of the last hour."""
    services = process_of(request).services

    def read(tx: Transaction) -> Mapping[str, Any]:
        found = next((one for one in _reports(services, tx) if one["name"] == name), None)
        if found is None:
            raise unknown_provider(name)
        card = services.card(name)
        history = last_hour(tx, tx.now(), name)
        return found | {"card": None if card is None else asdict(card), "last_hour": history}

    return JSONResponse(await process_of(request).read(read))


@router.post(
    "/providers/{name}/check",
    **describes(Scope.ADMIN, resources.CheckListResource, errors=(404,), all_accounts=True, job=True),
)
async def check(request: Request, name: ProviderName) -> JSONResponse:
    """Try credentials, balance, models and one ping. It creates nothing, and may take a minute."""
    await no_body(request)
    process = process_of(request)
    needs_provider(process.services, name)

    def work() -> Mapping[str, Any]:
        items = [asdict(one) for one in check_provider(process.services, name)]
        return {"ok": all(one["works"] is not False for one in items), "items": items}

    return await operate(request, "provider.check", {"provider": name}, work)


@router.post(
    "/providers/{name}/release-brake",
    **describes(Scope.ADMIN, resources.BrakeResource, errors=(404,), all_accounts=True, job=True),
)
async def release_brake(request: Request, name: ProviderName) -> JSONResponse:
    """Lift every brake of the provider and its credentials. Doubts there start over."""
    await no_body(request)
    process = process_of(request)
    if not await process.read(lambda tx: any(brake.provider == name for brake in tx.brakes.all())):
        needs_provider(process.services, name)

    def work() -> Mapping[str, Any]:
        return {"provider": name, "released": release_brakes(process.services, name)}

    return await operate(request, "provider.release_brake", {"provider": name}, work, asks_providers=False)


def needs_provider(services: Services, name: str) -> None:
    """Raise Problem unless the provider is configured."""
    if name not in services.drivers:
        raise unknown_provider(name)


def unknown_provider(name: str) -> Problem:
    """Return the problem of a provider that is not configured."""
    return Problem(ApiCode.NOT_FOUND, f"provider {name} is unknown", details={"provider": name})


def _reports(services: Services, tx: Transaction) -> list[dict[str, Any]]:
    return list(reports(services.config, known_of(tx, services.secrets)))
