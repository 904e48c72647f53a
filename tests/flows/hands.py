"""A worker that runs its three verbs one by one, so that a story can crash or delay it in between."""

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.flows.engine.services import Services
from orchestrator.flows.steps.claims import Answer, Claimed, ask, claim
from orchestrator.flows.steps.close_due import _terms as close_terms
from orchestrator.flows.steps.close_due import settle_close
from orchestrator.flows.steps.open_due import ask_to_open, open_terms, settle_open
from orchestrator.flows.steps.ping import ping_due
from orchestrator.flows.steps.ping.send_pings import Pinged, send
from orchestrator.flows.steps.resolve_due import ask_to_resolve
from orchestrator.flows.steps.targets import order_of, target_of
from orchestrator.providers.port.driver import Driver, Placed
from orchestrator.rules.states import Step
from tests.flows.claiming import claim_pings

SETTLE: Mapping[Step, Callable[[Services, Answer[Any]], None]] = {
    Step.OPEN: settle_open,
    Step.RESOLVE: settle_open,
    Step.CLOSE: settle_close,
}


class Hands:
    """One worker process, run by hand."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def claim(self, step: Step) -> list[Claimed]:
        """Claim everything that is due for this step."""
        return claim(self._services, step, close_terms if step is Step.CLOSE else open_terms)

    def claim_one(self, step: Step) -> Claimed:
        """Claim the one placement that is due."""
        [claimed] = self.claim(step)
        return claimed

    def act(self, claimed: Claimed) -> Answer[Any]:
        """Call the provider; its answer is not written yet."""

        async def question(_services: Services, driver: Driver, one: Claimed) -> Any:
            match one.step:
                case Step.OPEN:
                    return await ask_to_open(self._services, driver, one)
                case Step.RESOLVE:
                    return await ask_to_resolve(self._services, driver, one)
                case _:
                    target = target_of(
                        self._services, one.placement, None, to_ping=False, now=one.at, send_by=one.send_by
                    )
                    return await driver.close(target)

        return self._services.loop.run(ask(self._services, claimed.step, claimed, question))

    def act_all_the_same(self, claimed: Claimed) -> Answer[Any]:
        """Send the open, though the lease was lost after the last look at it."""

        async def question(_services: Services, driver: Driver, one: Claimed) -> Any:
            return await driver.open(order_of(self._services, one))

        return self._services.loop.run(ask(self._services, claimed.step, claimed, question))

    def opened(self, claimed: Claimed) -> tuple[Answer[Any], str]:
        """Open at the provider, successfully; return the answer, and the handle in it."""
        answer = self.act(claimed)
        assert isinstance(answer.said, Placed), answer.said
        return answer, answer.said.handle

    def settle(self, answer: Answer[Any]) -> None:
        """Write it down."""
        self._services.slots.release(answer.claimed.step, answer.claimed.placement.provider)
        SETTLE[answer.claimed.step](self._services, answer)

    def ping(self, provider: str) -> list[Pinged]:
        """Claim the pings that are due there, and send them; nothing is written."""
        claims = claim_pings(self._services, provider)
        probes = [send(self._services, claimed) for claimed in claims]
        return [self._services.loop.run(probe) for probe in probes]

    def settle_pings(self, pinged: list[Pinged]) -> None:
        """Write them down."""
        ping_due.settle(self._services, pinged)
