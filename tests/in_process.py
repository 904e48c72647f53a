"""The world in one process: real flows and store, drivers and upstreams as chosen, and a clock moved by hand.

world.create_session(stop={"max_duration_seconds": 600})
world.settle()                # everything that is due happens
world.pass_time(10 * MINUTE)  # and everything that becomes due meanwhile, each at its time
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from orchestrator import wiring
from orchestrator.flows.engine.batch import Tally
from orchestrator.flows.engine.services import Services
from orchestrator.flows.jobs.perform import perform
from orchestrator.flows.reports.cloud_events import cloud_event
from orchestrator.flows.reports.views import of_session
from orchestrator.flows.steps.admit_queued import admit_queued
from orchestrator.flows.steps.close_due import close_due
from orchestrator.flows.steps.funds_due import funds_due
from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.flows.steps.post_charges import post_charges
from orchestrator.flows.steps.resolve_due import resolve_due
from orchestrator.flows.steps.stop_due import stop_due
from orchestrator.flows.steps.wake_queues import wake_queues
from orchestrator.flows.steps.warn_due import warn_due
from orchestrator.flows.upstream.credentials import sync_credentials
from orchestrator.providers.http.client import HttpClient
from orchestrator.rules.states import Step
from orchestrator.rules.values import Placement, Plan, Policy, Session
from orchestrator.settings import Configuration, ProviderConfiguration, SecretStore, Settings
from orchestrator.settings.configuration import BUILT_IN_PLANS
from orchestrator.store.core.stopwatch import Stopwatch
from orchestrator.store.queries.ledger import Entry
from tests.described import check_events, check_outcome
from tests.jitter import no_jitter
from tests.jobs import JobSender
from tests.upstreams import Upstream

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

#: What does each kind of due step, in the order of a worker's wake-ups. Stops are always checked.
FLOWS: Mapping[Step, Callable[[Services], Tally]] = {
    Step.STOP: stop_due,
    Step.FUNDS: funds_due,
    Step.WARN: warn_due,
    Step.CHARGE: post_charges,
    Step.ADMIT: admit_queued,
    Step.OPEN: open_due,
    Step.RESOLVE: resolve_due,
    Step.PING: ping_due,
    Step.CLOSE: close_due,
}


class Clock:
    """Time that moves only by hand."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now
        self.platforms_are_ahead = timedelta(0)
        self.store_is_ahead = timedelta(0)
        """The error of the clock of the store's host; `now` is the true time."""

    def __call__(self) -> datetime:
        return self.now + self.store_is_ahead

    def measured(self) -> float:
        """Return the seconds that a machine's monotonic clock shows."""
        return (self.now - START).total_seconds() + 1000

    def seconds(self) -> float:
        """Return the time as the platforms' clocks show it."""
        return (self.now + self.platforms_are_ahead).timestamp()


class InProcessWorld(JobSender):
    """One worker over the real flows and store, with a clock moved by hand; a subclass says where its upstreams are."""

    def __init__(
        self,
        database_url: str,
        upstreams: Iterable[Upstream],
        *,
        policy: Policy | None = None,
        plans: Mapping[str, Plan] | None = None,
        clock: Clock | None = None,
        checks_time: bool = False,
        keeps_time: bool = True,
    ) -> None:
        """`checks_time`: workers compare the store's clock with what they measure; `keeps_time`: they note the time for
        all others."""
        self.clock = clock or Clock()
        self._checks_time, self._keeps_time = checks_time, keeps_time
        self._url = database_url
        self._policy = policy or Policy()
        self._plans = {**BUILT_IN_PLANS, **(plans or {})}
        self.upstreams = {one.name: one for one in upstreams}
        self.providers: dict[str, ProviderConfiguration] = {}
        self.secrets: dict[str, str] = {}
        self._stack = ExitStack()
        self._ids = itertools.count(1)
        self.after_each: Callable[[], None] = lambda: None
        """Called after every job and every run of a flow."""

    def __exit__(self, kind: object = None, *_: object) -> None:
        try:
            if kind is None:
                self._check_events()
        finally:
            self._stack.close()

    def begin(self) -> None:
        """Configure every upstream, and start the worker."""
        for name, one in self.upstreams.items():
            self.providers[name] = one.configured(self.address_of(one), self._policy)
            self.secrets |= one.secrets
        self.services = self.another_worker()

    def address_of(self, upstream: Upstream) -> str:
        """Return the base URL of an upstream."""
        raise NotImplementedError

    # workers

    def another_worker(self, boot: str = "boot-1") -> Services:
        """Return the services of another worker process over the same store. `boot`: when its machine started."""
        stopwatch = Stopwatch(seconds=self.clock.measured, boot=boot, host=f"host of {boot}")
        built = wiring.build(
            Settings(database_url=self._url),
            self.configuration(),
            clock=self.clock,
            stopwatch=stopwatch if self._checks_time else None,
            keeps_time=self._keeps_time,
            jitter=no_jitter,
            secrets=SecretStore(self.secrets),
            http=self.http(),
        )
        self._stack.callback(built.close)
        self.webhooks = built.webhooks
        sync_credentials(built.services)
        return built.services

    def worker_of(self, *, max_in_flight: int) -> Services:
        """Return another worker, with fewer slots at each provider."""
        self.providers = {
            name: replace(one, max_in_flight=max_in_flight) for name, one in self.providers.items()
        }
        return self.another_worker()

    # jobs

    def job(self, name: str, /, *, task_id: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return the outcome of `orchestrator.{name}`."""
        outcome = perform(self.services, task_id or f"task-{next(self._ids)}", f"orchestrator.{name}", kwargs)
        check_outcome(f"orchestrator.{name}", outcome)
        self.after_each()
        return outcome

    def run_session(self, model_id: str = "llama", **kwargs: Any) -> str:
        """Return the id of a session that is running."""
        session_id = self.create_session(model_id, **kwargs)
        self.settle()
        assert self.session(session_id).state == "running", self.session(session_id)
        return session_id

    def change_policy(self, provider: str, **changes: Any) -> None:
        """Give the provider another policy, as a deploy does."""
        config = self.services.config
        known = config.providers[provider]
        changed = replace(known, policy=replace(known.policy, **changes))
        providers = {**config.providers, provider: changed}
        self.services = replace(self.services, config=replace(config, providers=providers))

    def pause(self, provider: str, ref: str) -> None:
        """Allow no new placement under this credential, as an operator does."""
        self.services.database.transact(lambda tx: tx.credentials.pause(provider, ref, "by hand", tx.now()))

    # time

    def settle(self, worker: Services | None = None) -> None:
        """Do what is due until nothing is; a close may wait for a ping to have begun."""
        for _ in range(200):
            due = {*self.due(), Step.STOP}
            if not sum(self._claimed_by(FLOWS[step], worker) for step in FLOWS if step in due):
                return
        raise AssertionError(f"the world does not come to rest: {self.due()}")

    def due(self) -> set[Step]:
        """Return the steps that are due now, by the right clock or by the store's."""
        now = max(self.clock(), self.clock.now)
        return {step for step, at in self._oldest_due() if at <= now}

    def jump(self, span: timedelta) -> None:
        """Move the clock while no worker runs: downtime."""
        self.clock.now += span

    def pass_time(self, span: timedelta) -> None:
        """Move the clock, stopping wherever something becomes due. What is due but held back, by a Retry-After or a key
        in use, is tried each second."""
        end = self.clock.now + span
        self.settle()
        while (due := self._next_due()) is not None and due <= end:
            later = due if due > self.clock.now else self.clock.now + SECOND
            if later > end:
                break
            self.clock.now = later
            self.settle()
        self.clock.now = end
        self.settle()

    def wake_queues(self) -> None:
        """Run the slow tick that checks every queue."""
        wake_queues(self.services)
        self.settle()

    # seeing

    def session(self, session_id: str) -> Session:
        """Return the session as a new connection sees it."""
        with self.services.database.reading() as tx:
            session = tx.sessions.get(session_id)
        assert session is not None
        return session

    def placements(self, session_id: str) -> list[Placement]:
        """Return its placements, oldest first."""
        with self.services.database.reading() as tx:
            return list(tx.placements.of_session(session_id))

    def account(self, account_id: str = "acme") -> Any:
        """Return the account as a new connection sees it."""
        with self.services.database.reading() as tx:
            return tx.accounts.get(account_id)

    def events(self, subject: str) -> list[str]:
        """Return the short names of a subject's events, in order."""
        with self.services.database.reading() as tx:
            return [event.type.rpartition(".")[2] for event in tx.outbox.tail(subject=subject, limit=1000)]

    def view(self, session_id: str) -> dict[str, Any]:
        """Return the session as other services read it."""
        with self.services.database.reading() as tx:
            return of_session(tx, self.session(session_id), self.clock.now)

    def ledger(self, account_id: str = "acme", kind: str | None = None) -> list[Entry]:
        """Return the account's entries, oldest first."""
        with self.services.database.reading() as tx:
            entries = tx.ledger.of_account(account_id, limit=100_000)
        return [entry for entry in reversed(entries) if kind in (None, entry.kind)]

    def ledger_of(self, session_id: str) -> Decimal:
        """Return what the ledger has charged for a session."""
        mine = [
            one for one in self.ledger(self.session(session_id).account_id) if one.session_id == session_id
        ]
        charged = sum((entry.amount for entry in mine if entry.kind == "charge"), Decimal(0))
        return charged - sum((entry.amount for entry in mine if entry.kind == "reversal"), Decimal(0))

    def balance(self, account_id: str = "acme") -> Decimal:
        """Return the account's cached balance."""
        balance: Decimal = self.account(account_id).balance
        return balance

    # inside

    def http(self) -> HttpClient | None:
        """Return the HTTP client of the worker; None: the usual one."""
        return None

    def configuration(self) -> Configuration:
        """Return the configuration of the worker."""
        return Configuration(policy=self._policy, plans=self._plans, providers=self.providers)

    def _check_events(self) -> None:
        """Check that every event is as docs/schema describes it."""
        with self.services.database.reading() as tx:
            check_events([cloud_event(event) for event in tx.outbox.tail(limit=100_000)])

    def _claimed_by(self, flow: Callable[[Services], Tally], worker: Services | None) -> int:
        claimed = flow(worker or self.services).claimed
        self.after_each()
        return claimed

    def _next_due(self) -> datetime | None:
        return min((at for _, at in self._oldest_due()), default=None)

    def _oldest_due(self) -> list[tuple[Step, datetime]]:
        with self.services.database.reading() as tx:
            families = (tx.sessions.oldest_due(), tx.placements.oldest_due(), tx.accounts.oldest_due())
        return [due for family in families for due in family.items()]
