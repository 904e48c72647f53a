"""Models: the catalog, and the private ones."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import body_of
from orchestrator.api.callers import Caller, caller_of, process_of, unknown_model
from orchestrator.api.documents import describes
from orchestrator.api.jobs import carry_out
from orchestrator.api.parameters import After, Limit, ModelId
from orchestrator.api.problems import fault, invalid
from orchestrator.api.versions import etag_of, unchanged
from orchestrator.client import requests, resources
from orchestrator.flows.reports import views
from orchestrator.flows.reports.cursors import decoded, encoded
from orchestrator.rules.values import Model, ModelSource, Scope
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["models"])

_EXAMPLE = {
    "provider": "gw",
    "provider_model_id": "0x62d8",
    "type": "LLM",
    "size": "8B",
    "learning_stage": "Instruction-tuned",
    "price_per_node_hour": "1.20",
    "currency": "USD",
}


@router.get("/models", **describes(Scope.READ, resources.ModelPageResource))
async def list_models(request: Request, limit: Limit = 50, after: After = None) -> JSONResponse:
    """List models, by id. A token of one account sees the catalog and its own private models."""
    behind, owner = (decoded(after, 1)[0] if after else ""), caller_of(request).account_id

    def read(tx: Transaction) -> Mapping[str, Any]:
        found = tx.pages.models(limit + 1, behind, owner)
        items = [views.of_model(one) for one in found[:limit]]
        return {"items": items, "next": encoded(items[-1]["id"]) if len(found) > limit else None}

    return JSONResponse(await process_of(request).read(read))


@router.get(
    "/models/{model_id:path}",
    **describes(Scope.READ, resources.ModelResource, errors=(404,), versioned=True),
)
async def get_model(request: Request, model_id: ModelId) -> JSONResponse:
    """Return one model."""
    model = await process_of(request).read(lambda tx: tx.models.get(model_id))
    if model is None or not _may_see(caller_of(request), model):
        raise unknown_model(model_id)
    view = views.of_model(model)
    return JSONResponse(view, headers={"ETag": etag_of(view)})


@router.put(
    "/models/{model_id:path}",
    **describes(
        Scope.ADMIN,
        resources.ModelResource,
        errors=(412,),
        body=requests.PutModel,
        without="id",
        job=True,
        versioned=True,
        example=_EXAMPLE,
    ),
)
async def put_model(request: Request, model_id: ModelId) -> JSONResponse:
    """Create a model, or replace it. Sessions that were admitted keep the terms of their admission."""
    body = await body_of(request)
    if "id" in body:
        raise invalid(fault("id", "the path names the model: leave it out of the body"))

    def current(tx: Transaction) -> Mapping[str, Any] | None:
        model = tx.models.lock(model_id)
        if model is None:
            tx.models.rely_on_absence(model_id)
            return None
        return views.of_model(model)

    return await carry_out(
        request,
        "model.put",
        {**body, "id": model_id},
        precondition=unchanged(request, current),
        versioned=lambda result: result,
    )


def _may_see(caller: Caller, model: Model) -> bool:
    return model.source is not ModelSource.PRIVATE or caller.may_see(model.owner)
