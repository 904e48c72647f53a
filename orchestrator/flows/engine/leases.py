"""Leases on upkeep that one worker does at a time, or once in a span.

The scheduler does not use this module: it extends its lease with each heartbeat, runs without a database too, and
imports no flow."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.flows.engine.services import Services
from orchestrator.store.transaction import Transaction

log = logging.getLogger(__name__)


@contextmanager
def held(services: Services, name: str, seconds: float) -> Iterator[bool]:
    """Hold a lease while the work runs, and give it back however that ends. Yield False if another worker has
    it."""
    holder = services.database.identity.new_token()
    if not services.database.transact(lambda tx: tx.leases.hold(name, holder, tx.now(), seconds)):
        yield False
        return
    with given_back(services, name, holder):
        yield True


@contextmanager
def given_back(services: Services, name: str, holder: str) -> Iterator[None]:
    """Give the lease back after work that takes it by itself, however that ends. If the work fails and so does this,
    the second failure is logged, so that it does not hide the first."""
    try:
        yield
    except BaseException:
        try:
            _give_back(services, name, holder)
        except Exception as error:  # noqa: BLE001
            log.warning(
                "cannot give back the lease %s (%s): another process takes over the work once it has expired",
                name,
                type(error).__name__,
            )
        raise
    _give_back(services, name, holder)


def _give_back(services: Services, name: str, holder: str) -> None:
    services.database.transact(lambda tx: tx.leases.give_back(name, holder))


def take_turn(services: Services, name: str, every_seconds: float) -> bool:
    """Return whether it is this worker's turn; if so, no worker has another within `every_seconds`."""
    holder = services.database.identity.new_token()
    return services.database.transact(lambda tx: tx.leases.hold(name, holder, tx.now(), every_seconds))


def take_turn_within(tx: Transaction, name: str, every_seconds: float) -> bool:
    """Do so together with what this transaction writes: neither happens without the other."""
    return tx.leases.hold(name, tx.identity.new_token(), tx.now(), every_seconds)
