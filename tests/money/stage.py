"""The stage of the money's stories: real flows and store over platforms in this process; a life takes no time.

stage.job("session.create", account_id="acme", model_id="llama")
stage.pass_time(HOUR)      # workers do everything at its time
stage.jump(HOUR)           # no worker runs
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from orchestrator import wiring
from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.services import Services
from orchestrator.flows.engine.slots import Slots
from orchestrator.flows.jobs.perform import perform
from orchestrator.flows.steps.close_due import mark_unserved
from orchestrator.flows.steps.wake_queues import wake_queues
from orchestrator.flows.upstream.brake import review as review_brakes
from orchestrator.flows.upstream.credentials import retry_paused, sync_credentials
from orchestrator.rules.billing.groups import FEW
from orchestrator.rules.states import Step
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings import Configuration, ProviderConfiguration, SecretStore, Settings
from orchestrator.settings.configuration import BUILT_IN_PLANS
from orchestrator.store.core.rows import table_of
from orchestrator.store.tables import AccountRow, CredentialRow, PlacementRow, SessionRow
from tests.emptying import empty
from tests.jitter import no_jitter
from tests.money.inline import InlineLoop
from tests.money.platforms import EndlessDriver, Mood, MoodyDriver, registered
from tests.money.terms import MODELS, PLANS, POLICY
from tests.world import FLOWS, START, Clock

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A job and its first outcome."""

    task_id: str
    name: str
    kwargs: Mapping[str, Any]
    outcome: Mapping[str, Any]


class Stage:
    """`alpha` is always there, `morph` has two exclusive keys, `fleet` one shared key."""

    def __init__(
        self, database_url: str, *, policy: Policy = POLICY, plans: Mapping[str, Plan] = PLANS
    ) -> None:
        self.clock = Clock()
        self._stack = ExitStack()
        self._stack.enter_context(registered())
        providers = {
            "alpha": _provider("alpha", "endless", ["env:ALPHA"], policy),
            "morph": _provider("morph", "moody", ["env:MORPH_1", "env:MORPH_2"], policy, exclusive=True),
            "fleet": _provider("fleet", "moody", ["env:FLEET"], policy),
        }
        configuration = Configuration(policy=policy, plans={**BUILT_IN_PLANS, **plans}, providers=providers)
        built = wiring.build(
            Settings(database_url=database_url), configuration, clock=self.clock, jitter=no_jitter
        )
        self._stack.callback(built.close)
        loop = InlineLoop()
        self._stack.callback(loop.stop)
        secrets = SecretStore({name: f"sk-{name}" for name in ("ALPHA", "MORPH_1", "MORPH_2", "FLEET")})
        self.services = replace(built.services, loop=loop, secrets=secrets)
        self.after_each: Callable[[], None] = lambda: None
        """Called after every job and every run of a flow."""

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
            self.put_model(model_id)

    @property
    def drivers(self) -> Mapping[str, MoodyDriver | EndlessDriver]:
        found = self.services.drivers.items()
        return {name: one for name, one in found if isinstance(one, MoodyDriver | EndlessDriver)}

    # jobs

    def send(self, name: str, /, **kwargs: Any) -> Sent:
        """Send a job under a new task id."""
        task_id = f"task-{next(self._ids)}"
        return Sent(task_id=task_id, name=name, kwargs=kwargs, outcome=self.perform(task_id, name, kwargs))

    def perform(self, task_id: str, name: str, kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a job under this task id."""
        outcome = perform(self.services, task_id, f"orchestrator.{name}", dict(kwargs))
        self.after_each()
        return outcome

    def repeat(self, sent: Sent) -> Mapping[str, Any]:
        """Send the same message once more."""
        return self.perform(sent.task_id, sent.name, sent.kwargs)

    def done(self, name: str, /, **kwargs: Any) -> Mapping[str, Any]:
        """Return the result of a job that must not be refused."""
        outcome = self.send(name, **kwargs).outcome
        assert outcome["ok"], outcome
        result: Mapping[str, Any] = outcome["result"]
        return result

    def put_model(self, model_id: str, price: str | None = None) -> None:
        """Put one of MODELS, perhaps at another price."""
        providers, usual = MODELS[model_id]
        kind = {"type": "LLM", "size": "8B", "learning_stage": "Instruction-tuned", "currency": "USD"}
        names = {"providers": list(providers), "provider_model_id": f"up-{model_id}"}
        self.done("model.put", id=model_id, price_per_node_hour=price or usual, **names, **kind)

    def open_account(self, account_id: str, plan: str, amount: str) -> None:
        self.done("account.put", account_id=account_id, plan=plan, currency="USD")
        self.done("account.credit", account_id=account_id, amount=amount, currency="USD", key="opening")

    # time

    def jump(self, span: timedelta) -> None:
        """Move the clock while no worker runs."""
        self.clock.now += span

    def settle(self) -> None:
        """Do what is due until nothing is, or what is left is held back."""
        for _ in range(200):
            if not sum(self._run(FLOWS[step]) for step in self._due_steps()):
                return
        raise AssertionError(f"it does not come to rest: {self._due_steps()}")

    def upkeep(self) -> None:
        """Run the slow ticks."""
        for look in (wake_queues, review_brakes, mark_unserved, retry_paused):
            look(self.services)
            self.after_each()
        self.settle()

    def pass_time(self, span: timedelta) -> None:
        """Move the clock, stopping wherever something becomes due."""
        end = self.clock.now + span
        self.settle()
        while (due := self._next_due()) is not None and due <= end:
            self.clock.now = due
            self.settle()
        self.clock.now = end
        self.settle()

    def lose(self, placement_ids: Iterable[str]) -> None:
        """Declare these gone at their platforms, as an operator does who is right."""
        for placement_id in placement_ids:
            for driver in self.drivers.values():
                if isinstance(driver, MoodyDriver) and placement_id in driver.sessions:
                    driver.sessions[placement_id].closed = True

    # seeing

    def balance(self, account_id: str) -> Decimal:
        with self.services.database.reading() as tx:
            account = tx.accounts.get(account_id)
        assert account is not None
        return account.balance

    # inside

    def another_worker(self) -> Services:
        """Return the same services with separate slots: a worker that dies takes no other's with it."""
        caps = dict.fromkeys(self.services.drivers, 500)
        return replace(self.services, slots=Slots(caps))

    def _run(self, flow: Callable[[Services], Tally]) -> int:
        claimed = flow(self.services).claimed
        self.after_each()
        return claimed

    def _due_steps(self) -> list[Step]:
        with self.services.database.reading() as tx:
            families = (tx.sessions.oldest_due(), tx.placements.oldest_due(), tx.accounts.oldest_due())
        now = self.clock.now
        due = {step for family in families for step, at in family.items() if at <= now}
        return [step for step in FLOWS if step in due or step is Step.STOP]

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
    table_of(SessionRow).c.next_step_at,
    table_of(PlacementRow).c.next_step_at,
    table_of(AccountRow).c.next_step_at,
    table_of(CredentialRow).c.cool_until,
    table_of(CredentialRow).c.resting_until,
)


def _provider(
    name: str, driver: str, refs: Sequence[str], policy: Policy, **options: Any
) -> ProviderConfiguration:
    return ProviderConfiguration(
        name=name,
        driver=driver,
        base_url=f"http://{name}.invalid",
        credentials=tuple(refs),
        max_in_flight=500,
        policy=policy,
        options=options,
    )
