"""What simulated processes share: one clock, one store, the platforms, and the story that covers all of them."""

import asyncio
import hashlib
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orchestrator.rules.billing.groups import FEW
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings import Configuration, ProviderConfiguration
from orchestrator.simulator import Simulator
from orchestrator.simulator.dispatch import Dispatcher
from orchestrator.simulator.operate import Operator
from orchestrator.store.database import Database
from tests.simulation.kernel import VirtualLoop
from tests.simulation.platforms import PLATFORMS
from tests.simulation.wire import ORIGIN
from tests.upstreams import Upstream

#: The last lines of the story, for a seed that fails.
REMEMBERED = 60
#: When a call did not leave its machine, and the placement that it was about.
FailedHere = tuple[datetime, str | None]


@dataclass
class Counts:
    """The counts of the simulated world."""

    jobs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)


class Surroundings:
    """The surroundings of all processes of one seed."""

    def __init__(
        self,
        loop: VirtualLoop,
        database: Database,
        *,
        seed: int,
        policy: Policy,
        plans: Mapping[str, Plan],
        platforms: Sequence[Upstream] = PLATFORMS,
        clock_ahead: float = 0.0,
        checks_time: bool = False,
        few_sessions: int = FEW,
    ) -> None:
        """`clock_ahead`: seconds by which the platforms' clocks differ from ours; `checks_time`: workers compare the
        store's clock with what they measure, and it may jump (`store_is_ahead`); accounts with more than `few_sessions`
        are computed from groups of them."""
        self.checks_time, self.few_sessions = checks_time, few_sessions
        self.store_is_ahead = 0.0
        self.loop, self.seed = loop, seed
        self.url, self.engine = str(database.url), database.engine
        self.clock_ahead = clock_ahead
        self.started = 0
        """How many processes have been started."""
        upstream_ids = self.rng_of("upstream")
        self.simulator = Simulator(
            clock=lambda: loop.now().timestamp() + clock_ahead,
            rng=self.rng_of("faults"),
            token_hex=lambda size: f"{upstream_ids.getrandbits(8 * size):0{2 * size}x}",
        )
        self.dispatcher = Dispatcher(self.simulator)
        self.operator = Operator(self.simulator)
        self.secrets = {name: key for one in platforms for name, key in one.secrets.items()}
        providers = {platform.name: self._configured(platform, policy) for platform in platforms}
        self.config = Configuration(policy=policy, plans=plans, providers=providers)
        self.platforms = {platform.name: platform for platform in platforms}
        self.never_arrived: list[FailedHere] = []
        self.died = asyncio.Event()
        """Set when a worker dies."""
        self.poked = asyncio.Event()
        """Set when the store has changed."""
        self.asked: dict[int, str] = {}
        self.counts = Counts()
        self.webhook: Callable[[Mapping[str, Any]], int] = lambda _event: 204
        """What the receiver of webhooks answers."""
        self.taken: list[Mapping[str, Any]] = []
        """The events that it took."""
        self.troubles: list[tuple[datetime, datetime]] = []
        self.last: deque[str] = deque(maxlen=REMEMBERED)
        self._digest = hashlib.sha256()

    def receives(self, body: bytes) -> int:
        """Receive an event of a webhook; return the status of the answer."""
        event = json.loads(body)
        status = self.webhook(event)
        if status < 300:
            self.taken.append(event)
        return status

    def rng_of(self, purpose: str) -> random.Random:
        """Return a separate stream for each purpose, so that one more draw here changes nothing there."""
        return random.Random(f"{self.seed}/{purpose}/{self.started}")

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return self.loop.time()

    def store_now(self) -> datetime:
        """Return the time of the store's host."""
        return self.loop.now() + timedelta(seconds=self.store_is_ahead)

    def note(self, who: str, what: str) -> None:
        """Note one line of the story: the last ones are printed where a seed fails, all are in its digest."""
        line = f"{self.loop.now():%d %H:%M:%S.%f} {who:10} {what}"
        self.last.append(line)
        self._digest.update(line.encode())

    def digest(self) -> str:
        """Return the digest of the story: the same for the same seed."""
        return self._digest.hexdigest()[:16]

    def trouble(self, seconds: float) -> None:
        """Note trouble: from now on, and this long, a stop may be late."""
        self.troubles.append((self.loop.now(), self.loop.now() + timedelta(seconds=seconds)))

    def changed(self) -> None:
        """Note that the store has changed: look again at what is due when. (In life, the ticks of each second do.)"""
        self.poked.set()

    def _configured(self, upstream: Upstream, policy: Policy) -> ProviderConfiguration:
        url = self.operator.put_upstream(upstream.name, upstream.spec(), ORIGIN)
        return upstream.configured(url, policy, max_in_flight=100)
