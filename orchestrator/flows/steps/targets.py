"""Turn placements into what drivers are given."""

from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.flows.engine.provider_steps import Claimed
from orchestrator.flows.engine.services import Services
from orchestrator.providers.port.driver import Auth, Endpoint, Order, Target
from orchestrator.rules.values import Placement
from orchestrator.store.queries.placements import Handles, Rivals


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenContext:
    """The data by which a driver recognises our resources in a platform's list. Empty if there is no list."""

    handles: Handles = field(default_factory=Handles)
    rivals: Rivals = field(default_factory=Rivals)


def order_of(services: Services, claimed: Claimed[OpenContext]) -> Order:
    """Return what is to be opened. A placement always gives the same order, so that it can be sent again."""
    placement = claimed.placement
    return Order(
        placement_id=placement.id,
        name=placement.id,
        model=placement.provider_model_id,
        model_type=placement.model_type,
        nodes=placement.nodes,
        duration_seconds=placement.duration_seconds,
        options=placement.options,
        secret=services.secret_of(placement, claimed.at),
        handle=placement.candidate,
        attach=placement.attach,
        sent_at=placement.sent_at,
        known_handles=claimed.context.handles.known,
        taken_handles=claimed.context.handles.taken,
        rivals_sent_at=claimed.context.rivals.wanted,
        unwanted_rivals_sent_at=claimed.context.rivals.unwanted,
        now=claimed.at,
        send_by=claimed.send_by,
    )


def target_of(
    services: Services,
    placement: Placement,
    begin_by: float | None,
    *,
    to_ping: bool,
    now: datetime | None = None,
    send_by: float | None = None,
) -> Target:
    """Return a placement to probe (with its endpoint's secret) or to close (with its credential's). `now`: when it was
    claimed, by the store's clock."""
    policy = services.policy(placement.provider)
    own_endpoint = to_ping and placement.secret_ref != placement.credential
    return Target(
        placement_id=placement.id,
        handle=placement.handle,
        endpoint=_endpoint(placement),
        model=placement.provider_model_id,
        model_type=placement.model_type,
        secret=services.secret(placement.secret_ref) if own_endpoint else services.secret_of(placement, now),
        max_tokens=policy.ping_max_tokens,
        timeout_seconds=policy.ping_timeout_seconds,
        begin_by=begin_by,
        variant=placement.ping_variant,
        name=_name_of(placement),
        ends_at=placement.declared_end_at,
        now=now,
        send_by=send_by,
    )


def _name_of(placement: Placement) -> str | None:
    """Return the name that the open gave. An orphan has the name of the placement that opened it, if that is known."""
    return placement.id if placement.session_id else placement.options.get("named")


def _endpoint(placement: Placement) -> Endpoint | None:
    if placement.endpoint_url is None or placement.endpoint_model is None:
        return None
    return Endpoint(
        url=placement.endpoint_url,
        model=placement.endpoint_model,
        auth=Auth(placement.endpoint_auth or Auth.BEARER),
        secret_ref=placement.secret_ref,
    )
