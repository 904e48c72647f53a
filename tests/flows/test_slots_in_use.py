"""Slots are always returned: with leaked slots, pings and closes of a provider would stop."""

from collections.abc import Callable

import pytest

from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.store.database import StoreError
from tests.world import MINUTE, World


class FailsAt:
    """A database that is lost at the n-th transaction from now."""

    def __init__(self, services: Services, n: int) -> None:
        self._database, self._left = services.database, n

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    def transact(self, work: Callable[..., object]) -> object:
        self._left -= 1
        if self._left == 0:
            raise StoreError("the connection is lost")
        return self._database.transact(work)


@pytest.mark.parametrize("flow", [open_due, ping_due])
@pytest.mark.parametrize("n", [1, 2])
def test_a_database_that_is_lost_between_two_claims_leaks_no_slot(
    world: World, flow: Callable[[Services], object], n: int
) -> None:
    world.create_session("llama", start=True)
    world.create_session("moral", start=True)
    if flow is ping_due:
        world.settle()
        world.jump(MINUTE)
    whole = world.services.database
    object.__setattr__(world.services, "database", FailsAt(world.services, n))
    with pytest.raises(StoreError):
        flow(world.services)
    object.__setattr__(world.services, "database", whole)
    assert world.services.slots.held() == 0
    world.pass_time(20 * MINUTE)
