"""What one API process has: the services of flows, bounded threads, and the feed of events."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import anyio
from celery import Celery

from orchestrator import wiring
from orchestrator.api.feed import Feed
from orchestrator.api.problems import unavailable
from orchestrator.client.options import JOBS_QUEUE, celery_options
from orchestrator.flows.engine.crowd import LINES_OF_JOBS, LOOK_AGAIN, OF_JOBS, AccountBusy, Crowd
from orchestrator.flows.engine.services import Services
from orchestrator.flows.operations.webhook_sender import WebhookSender
from orchestrator.rules.installation.liveness import KINDS
from orchestrator.rules.states import Step
from orchestrator.settings import Settings
from orchestrator.store.transaction import Transaction
from orchestrator.tasks.wake_ups import OF_STEP, queue_of
from orchestrator.tasks.waker import Waker, WakeUps

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Requests that change something at once, requests that only read, and checks of providers, which take seconds.
WRITERS, READERS, CHECKERS = 24, 12, 2
#: Connections to the database that are kept open; twice as many under load.
CONNECTIONS = 12
#: Seconds for which a request waits for its busy account, or tries a transaction again that meets locks, before it is
#: answered 503.
BUSY_WITHIN = 10.0


class ApiProcess:
    """One process of the API. Any number of them may run."""

    def __init__(self, services: Services, webhooks: WebhookSender) -> None:
        """Prepare. The loop that serves requests must be running when the first request comes."""
        self.services = services
        self.webhooks = webhooks
        self.leaving = asyncio.Event()
        """Set when the process has received a signal: streams end, and long polls are answered."""
        self.feed = Feed(self.read, self.leaving)
        self._readers, self._writers, self._checkers = (
            anyio.CapacityLimiter(most) for most in (READERS, WRITERS, CHECKERS)
        )

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction that only reads."""

        def reading() -> T:
            with self.services.database.reading() as tx:
                return work(tx)

        return await anyio.to_thread.run_sync(reading, limiter=self._readers)

    async def look(self, work: Callable[[], T]) -> T:
        """Run work that reads and opens transactions itself."""
        return await anyio.to_thread.run_sync(work, limiter=self._readers)

    async def change(self, work: Callable[[], T]) -> T:
        """Run work that changes something. While its account is busy, retry it without holding a thread. Raises
        Problem after `BUSY_WITHIN` seconds."""
        give_up_at = anyio.current_time() + BUSY_WITHIN
        while True:
            try:
                return await anyio.to_thread.run_sync(work, limiter=self._writers)
            except AccountBusy as busy:
                if anyio.current_time() > give_up_at:
                    message = (
                        f"account {busy.account_id} is busy: repeat the request under its Idempotency-Key"
                    )
                    raise unavailable(message) from None
            await anyio.sleep(LOOK_AGAIN)

    async def check(self, work: Callable[[], T]) -> T:
        """Run work that asks providers, and may take seconds."""
        return await anyio.to_thread.run_sync(work, limiter=self._checkers)


def build(settings: Settings) -> wiring.Built:
    """Build what one process needs. Call it after the fork."""
    return wiring.build(
        settings,
        wiring.read_configuration(settings),
        wake=_waking(settings),
        database=wiring.open_database(settings, pool_size=CONNECTIONS, gives_up_after=BUSY_WITHIN),
        crowd=Crowd(*OF_JOBS, LINES_OF_JOBS),
    )


def _waking(settings: Settings) -> Callable[[frozenset[Step]], None]:
    """Return what publishes the wake-ups of a commit. It returns at once; a broker that is down delays nothing."""
    app: Celery = Celery("orchestrator-api", broker=settings.broker_url, set_as_current=False)
    queues = [JOBS_QUEUE, *(queue_of(kind) for kind in KINDS)]
    app.conf.update(celery_options(queues, sentinel_master=settings.sentinel_master))
    waker = Waker(WakeUps(app).send)
    return lambda steps: waker([OF_STEP[step] for step in steps])
