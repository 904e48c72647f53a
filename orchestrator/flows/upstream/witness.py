"""A second platform that knows the sessions of the first: a node that reads the chain below a gateway."""

import logging
from datetime import datetime, timedelta

from orchestrator.flows.engine.services import Services
from orchestrator.providers.port.driver import Closed, Driver, Life, NotPlaced, Order, Placed, Status, Target
from orchestrator.providers.port.errors import NotClosed
from orchestrator.rules.upstream.placements import lasts_as_asked
from orchestrator.rules.values import Placement

log = logging.getLogger(__name__)


async def closed_or_ended(
    services: Services, driver: Driver, placement: Placement, error: NotClosed, now: datetime | None
) -> Closed:
    """Return the end that the witness reports, after a close without proof. Raises `error` where it reports none."""
    seen = await _status(services, driver, placement, placement.handle, now)
    if seen is None or seen.life is not Life.GONE:
        raise error
    proof = f"{driver.card.status.witness} says that it has {seen.detail}; the close was answered: {error}"
    return Closed(proof=proof, closed_handle=placement.handle, probe=error.probe)


async def adopted(
    services: Services, driver: Driver, placement: Placement, order: Order, found: Placed
) -> Placed | NotPlaced:
    """Return what a resolve found, if it lasts as long as was asked for. End one that ends sooner, since it is not
    ours."""
    seen = await _status(services, driver, placement, found.handle, order.now)
    if seen is None or seen.ends_at is None:
        return found
    asked_until = (order.sent_at or placement.created_at) + timedelta(seconds=order.duration_seconds)
    if lasts_as_asked(asked_until, seen.ends_at, is_over=seen.life is Life.GONE):
        return found
    ended = await driver.resolve(order, close=True)
    assert isinstance(ended, NotPlaced)
    said = f"{found.handle} ends at {seen.ends_at:%Y-%m-%d %H:%M:%S} UTC or is over, and is not what was asked for"
    return NotPlaced(proof=f"{said}: {ended.proof}", ended_handle=ended.ended_handle, foreign=True)


async def _status(
    services: Services, driver: Driver, placement: Placement, handle: str | None, now: datetime | None
) -> Status | None:
    """Return what the witness knows of the session; None if there is no witness, or if it does not know the session."""
    name = driver.card.status.witness
    other = services.drivers.get(name) if name is not None else None
    if name is None or other is None or handle is None:
        return None
    refs = services.config.providers[name].all_credentials
    target = Target(
        placement_id=placement.id,
        handle=handle,
        endpoint=None,
        model=placement.provider_model_id,
        model_type=placement.model_type,
        secret=next((secret for secret in map(services.secret, refs) if secret is not None), None),
        now=now,
    )
    try:
        status = await other.status(target)
    except Exception:  # the witness is optional: the platform's own answer stands
        log.exception("%s cannot be asked about %s", name, handle)
        return None
    known = status.ends_at is not None  # a witness that does not know the session may see another chain
    return status if known and status.life is not Life.UNKNOWN else None
