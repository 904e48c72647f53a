"""FPT AI Studio interactive sessions. They have no public control API, so there are two ways to use them.

`attach` (fpt_attach): an operator starts and ends the session in the console, and gives us its endpoint. `template`
(fpt_template): the configuration describes a control API."""

from orchestrator.providers.drivers.fpt.attach import AttachDriver
from orchestrator.providers.drivers.fpt.options import FptOptions
from orchestrator.providers.drivers.fpt.template import TemplateDriver
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.card import Card, IdentityCard, LifecycleCard, StatusCard
from orchestrator.providers.port.driver import Driver
from orchestrator.providers.shared.driver_type import DriverType


def build(name: str, options: FptOptions, http: HttpClient) -> Driver:
    if options.mode == "attach":
        return AttachDriver(name, card(options), options, http)
    return TemplateDriver(name, card(options), options, http)


def card(options: FptOptions) -> Card:
    if options.mode == "attach":
        minimum = options.minimum_billing_seconds
        return Card(lifecycle=LifecycleCard(attaches=True, minimum_billing_seconds=minimum))
    calls = (options.open, options.close, options.status, options.list)
    sends_secret = any(call is not None and call.sends_secret for call in calls)
    return Card(
        lifecycle=LifecycleCard(
            closes_by_id=options.close is not None and "handle" in options.close.placeholders,
            repeats_open=options.idempotent_open,
            max_nodes=options.max_nodes,
            shortest_duration_seconds=options.shortest_duration_seconds,
            minimum_billing_seconds=options.minimum_billing_seconds,
            resolve_after_seconds=options.resolve_after_seconds,
        ),
        identity=IdentityCard(
            names_create=options.names_create,
            needs_credential=sends_secret,
            ignores_credentials=not sends_secret,
            exclusive_credentials=options.exclusive_credentials,
            serialised=options.serialised,
        ),
        status=StatusCard(
            can_list=options.list is not None,
            can_ask=options.status is not None,
            by_name=options.status is not None and "handle" not in options.status.placeholders,
        ),
    )


TYPE = DriverType(FptOptions, build, card)
