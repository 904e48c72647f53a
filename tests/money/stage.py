"""The stage of the money's stories: real flows and store over platforms in this process; a life takes no time.

stage.job("session.create", account_id="acme", model_id="llama")
stage.pass_time(HOUR)      # workers do everything at its time
stage.jump(HOUR)           # no worker runs
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from orchestrator.flows.engine.services import Services
from orchestrator.flows.engine.slots import Slots
from orchestrator.flows.steps.close_due import mark_unserved
from orchestrator.flows.steps.wake_queues import wake_queues
from orchestrator.flows.upstream.brake import review as review_brakes
from orchestrator.flows.upstream.credentials import retry_paused, sync_credentials
from orchestrator.rules.billing.groups import FEW
from orchestrator.rules.values import Plan, Policy
from orchestrator.store.plain import table_of
from tests.emptying import empty
from tests.in_process import HOUR, MINUTE, SECOND, START, InProcessWorld
from tests.money.inline import InlineLoop
from tests.money.platforms import EndlessDriver, Mood, MoodyDriver, registered
from tests.money.terms import MODELS, PLANS, POLICY
from tests.upstreams import Upstream

__all__ = ["HOUR", "MINUTE", "SECOND", "Sent", "Stage"]


UPSTREAMS = (
    Upstream(name="alpha", driver="endless", numbers_keys=False),
    Upstream(name="morph", driver="moody", keys=2, options={"exclusive": True}),
    Upstream(name="fleet", driver="moody", numbers_keys=False),
)


@dataclass(frozen=True)
class Sent:
    """A job and its first outcome."""

    task_id: str
    name: str
    kwargs: Mapping[str, Any]
    outcome: Mapping[str, Any]


class Stage(InProcessWorld):
    """The world in one process without a network: `alpha` is always there, `morph` has two exclusive keys, `fleet` one
    shared key."""

    def __init__(
        self, database_url: str, *, policy: Policy = POLICY, plans: Mapping[str, Plan] = PLANS
    ) -> None:
        super().__init__(database_url, UPSTREAMS, policy=policy, plans=plans, keeps_time=False)
        self._stack.enter_context(registered())
        self.begin()
        loop = InlineLoop()
        self._stack.callback(loop.stop)
        self.services = replace(self.services, loop=loop)

    def address_of(self, upstream: Upstream) -> str:
        return f"http://{upstream.name}.invalid"

    def close(self) -> None:
        self._stack.close()

    def reset(self, few_sessions: int = FEW) -> None:
        """Start over: an empty database, healthy platforms, the first instant. Accounts with more than `few_sessions`
        are computed from groups of them."""
        self.services = replace(self.services, few_sessions=few_sessions)
        self.clock.now = START
        self._ids = itertools.count(1)
        self.after_each = lambda: None
        with self.services.database.engine.begin() as connection:
            empty(connection)
        for driver in self.drivers.values():
            driver.mood = Mood.WELL
            if isinstance(driver, MoodyDriver):
                driver.clock = self.clock
                driver.sessions.clear()
        sync_credentials(self.services)
        for model_id in MODELS:
            self.put_priced(model_id)

    @property
    def drivers(self) -> Mapping[str, MoodyDriver | EndlessDriver]:
        found = self.services.drivers.items()
        return {name: one for name, one in found if isinstance(one, MoodyDriver | EndlessDriver)}

    def another_process(self) -> Services:
        """Return the same services with separate slots: a worker that dies takes no other's with it."""
        caps = dict.fromkeys(self.services.drivers, 500)
        return replace(self.services, slots=Slots(caps))

    # jobs

    def send(self, name: str, /, **kwargs: Any) -> Sent:
        """Send a job under a new task id."""
        task_id = f"task-{next(self._ids)}"
        return Sent(task_id, name, kwargs, outcome=self.job(name, task_id=task_id, **kwargs))

    def repeat(self, sent: Sent) -> Mapping[str, Any]:
        """Send the same message once more."""
        return self.job(sent.name, task_id=sent.task_id, **sent.kwargs)

    def put_priced(self, model_id: str, price: str | None = None) -> None:
        """Put one of MODELS, perhaps at another price."""
        providers, usual = MODELS[model_id]
        served = dict.fromkeys(providers, f"up-{model_id}")
        self.put_model(model_id, served, price_per_node_hour=price or usual)

    # time

    def upkeep(self) -> None:
        """Run the slow ticks."""
        for look in (wake_queues, review_brakes, mark_unserved, retry_paused):
            look(self.services)
            self.after_each()
        self.settle()

    def lose(self, placement_ids: Iterable[str]) -> None:
        """Declare these gone at their platforms, as an operator does who is right."""
        for placement_id in placement_ids:
            for driver in self.drivers.values():
                if isinstance(driver, MoodyDriver) and placement_id in driver.sessions:
                    driver.sessions[placement_id].closed = True

    def _next_due(self) -> datetime | None:
        """Return the next instant at which something becomes due, or free again."""
        now, found = self.clock.now, []
        with self.services.database.reading() as tx:
            for column in _INSTANTS:
                at = tx.connection.execute(select(func.min(column)).where(column > now)).scalar()
                if at is not None:
                    found.append(at)
        return min(found, default=None)


_INSTANTS = (
    table_of("sessions").c.next_step_at,
    table_of("placements").c.next_step_at,
    table_of("accounts").c.next_step_at,
    table_of("credentials").c.cool_until,
    table_of("credentials").c.resting_until,
)
