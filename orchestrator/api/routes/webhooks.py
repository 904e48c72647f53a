"""Webhooks: where events are sent to, what did not arrive there, a test and a replay."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from orchestrator.api.bodies import body_of, model_of, no_body
from orchestrator.api.callers import process_of
from orchestrator.api.documents import describes
from orchestrator.api.jobs import operate
from orchestrator.api.problems import ApiCode, Problem
from orchestrator.api.versions import etag_of, unchanged
from orchestrator.client import installation_resources as resources
from orchestrator.client.webhook_requests import PutWebhook, ReplayWebhook
from orchestrator.flows.operations import webhooks as flow
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import Scope, Webhook
from orchestrator.settings.configuration import WebhookConfiguration
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["webhooks"])

#: What is put; the rest is how deliveries go.
_PUT = ("name", "url", "secrets", "events", "accounts", "active")
#: Dead letters that are listed.
MOST_DEAD = 1_000
Name = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="The name of the webhook.", examples=["shop"])
]
_EXAMPLE = {
    "url": "https://shop.example/hooks",
    "secrets": ["env:SHOP_WEBHOOK"],
    "events": ["orchestrator.session.*"],
}


@router.get("/webhooks", **describes(Scope.ADMIN, resources.WebhookListResource, all_accounts=True))
async def list_webhooks(request: Request) -> JSONResponse:
    """List webhooks, with what waits for another try and what was given up."""
    process = process_of(request)
    found = await process.look(lambda: flow.reports(process.services.database))
    return JSONResponse({"items": [flow.as_json(one) for one in found]})


@router.get(
    "/webhooks/{name}",
    **describes(Scope.ADMIN, resources.WebhookResource, errors=(404,), all_accounts=True, versioned=True),
)
async def get_webhook(request: Request, name: Name) -> JSONResponse:
    """Return one webhook, with what waits for another try and what was given up."""
    view = await process_of(request).read(lambda tx: _view(tx, name))
    return JSONResponse(view, headers={"ETag": etag_of(_part_that_is_put(view))})


@router.put(
    "/webhooks/{name}",
    **describes(
        Scope.ADMIN,
        resources.WebhookPutResource,
        errors=(412,),
        body=PutWebhook,
        all_accounts=True,
        job=True,
        versioned=True,
        example=_EXAMPLE,
    ),
)
async def put_webhook(request: Request, name: Name) -> JSONResponse:
    """Add a webhook, or change it. A new one receives what happens from now on; what is left out is the default again.
    One that is in the configuration file is changed there: 409."""
    body = await body_of(request)
    wanted, services = model_of(PutWebhook, body), process_of(request).services
    given = WebhookConfiguration(
        url=wanted.url,
        secret_refs=tuple(wanted.secrets),
        event_types=tuple(wanted.events),
        account_ids=tuple(wanted.accounts),
    )

    def current(tx: Transaction) -> Mapping[str, Any] | None:
        known = tx.webhooks.get(name, lock=True)
        return None if known is None else _part_that_is_put(_view(tx, name))

    condition = unchanged(request, current)

    def work() -> Mapping[str, Any]:
        try:
            flow.put_webhook(services.database, name, given, active=wanted.active, precondition=condition)
        except flow.InTheFile:
            raise _in_the_file(name) from None
        notes = flow.unfit_secrets(services.secrets, wanted.secrets)
        notes += flow.idle_filters(services.database, given)
        with services.database.reading() as tx:
            return {**_view(tx, name), "notes": notes}

    arguments = {"name": name, **body}
    return await operate(
        request, "webhook.put", arguments, work, asks_providers=False, versioned=_part_that_is_put
    )


@router.delete(
    "/webhooks/{name}",
    **describes(Scope.ADMIN, resources.WebhookDeletedResource, errors=(404,), all_accounts=True, job=True),
)
async def delete_webhook(request: Request, name: Name) -> JSONResponse:
    """Delete a webhook, with what waits for it. One that is in the configuration file is removed there: 409."""
    await no_body(request)
    database = process_of(request).services.database

    def work() -> Mapping[str, Any]:
        try:
            deleted = flow.delete_webhook(database, name)
        except flow.InTheFile:
            raise _in_the_file(name) from None
        if not deleted:
            raise _unknown(name)
        return {"name": name, "deleted": True}

    return await operate(request, "webhook.delete", {"name": name}, work, asks_providers=False)


@router.post(
    "/webhooks/{name}/test",
    **describes(Scope.ADMIN, resources.WebhookTriedResource, errors=(404,), all_accounts=True, job=True),
)
async def test_webhook(request: Request, name: Name) -> JSONResponse:
    """Send a signed event of the type `orchestrator.webhook.test`, and return the receiver's answer. The secret must be
    known to the API process."""
    await no_body(request)
    process = process_of(request)
    webhook, now = await process.read(lambda tx: (_found(tx, name), tx.now()))

    def work() -> Mapping[str, Any]:
        answer = process.services.loop.run(process.webhooks.try_out(webhook, now))
        return {"webhook": name, "url": webhook.url, "arrived": answer is None, "answer": answer}

    return await operate(request, "webhook.test", {"name": name}, work)


@router.get(
    "/webhooks/{name}/dead-letters",
    **describes(Scope.ADMIN, resources.DeliveryListResource, errors=(404,), all_accounts=True),
)
async def list_dead_letters(request: Request, name: Name) -> JSONResponse:
    """List the events that were given up, oldest first, at most 1,000."""

    def read(tx: Transaction) -> Mapping[str, Any]:
        _found(tx, name)
        return {"items": [flow.delivery_as_json(one) for one in tx.webhooks.dead_letters(name, MOST_DEAD)]}

    return JSONResponse(await process_of(request).read(read))


@router.post(
    "/webhooks/{name}/replay",
    **describes(
        Scope.ADMIN,
        resources.DeliveryListResource,
        errors=(404,),
        body=ReplayWebhook,
        needs_body=False,
        all_accounts=True,
        job=True,
        example={"events": ["6f1c9c0e-2f0b-4b39-9df0-6a1f1c9f5b0d"]},
    ),
)
async def replay_webhook(request: Request, name: Name) -> JSONResponse:
    """Send events again: those that are named, which may be any that are still kept, or everything that was given up.
    An event that the webhook's filter excludes is refused: 409."""
    body = await body_of(request, required=False)
    wanted, process = model_of(ReplayWebhook, body), process_of(request)
    await process.read(lambda tx: _found(tx, name))

    def work() -> Mapping[str, Any]:
        try:
            sent = flow.replay(process.services.database, name, wanted.events)
        except LookupError as error:
            message = f"no event with this id exists, or it is no longer kept: {error.args[0]}"
            raise Problem(ApiCode.NOT_FOUND, message, details={"event_id": error.args[0]}) from None
        except flow.NotReceived as error:
            raise Problem(ErrorCode.CONFLICT, str(error), details={"event_id": error.event_id}) from None
        return {"items": [flow.delivery_as_json(one) for one in sent]}

    arguments = {"name": name, "events": wanted.events}
    return await operate(request, "webhook.replay", arguments, work, asks_providers=False)


def _view(tx: Transaction, name: str) -> dict[str, Any]:
    report = flow.report_of(tx, name)
    if report is None:
        raise _unknown(name)
    return flow.as_json(report)


def _part_that_is_put(view: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: view[name] for name in _PUT}


def _found(tx: Transaction, name: str) -> Webhook:
    webhook = tx.webhooks.get(name)
    if webhook is None:
        raise _unknown(name)
    return webhook


def _unknown(name: str) -> Problem:
    return Problem(ApiCode.NOT_FOUND, f"webhook {name} is unknown", details={"webhook": name})


def _in_the_file(name: str) -> Refusal:
    message = f"{name} is defined in the configuration file under [webhooks.{name}]: change it there"
    return Refusal(ErrorCode.CONFLICT, message, webhook=name)
