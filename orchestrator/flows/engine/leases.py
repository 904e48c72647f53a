"""Leases on upkeep that one worker does at a time, or once in a span."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.flows.engine.services import Services


@contextmanager
def held(services: Services, name: str, seconds: float) -> Iterator[bool]:
    """Hold a lease while the work runs, and give it back however that ends. Yield False where another worker has
    it."""
    holder = services.database.identity.new_token()
    mine = services.database.transact(lambda tx: tx.leases.hold(name, holder, tx.now(), seconds))
    try:
        yield mine
    finally:
        if mine:
            services.database.transact(lambda tx: tx.leases.give_back(name, holder))


def take_turn(services: Services, name: str, every_seconds: float) -> bool:
    """Return whether it is this worker's turn; if so, no worker has another within `every_seconds`."""
    holder = services.database.identity.new_token()
    return services.database.transact(lambda tx: tx.leases.hold(name, holder, tx.now(), every_seconds))
