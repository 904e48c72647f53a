"""Upstream platforms in this process, with moods: for tests of money and quota, not of wire formats."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.providers import registry
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.port.card import Card, IdentityCard, LifecycleCard, StatusCard
from orchestrator.providers.port.driver import (
    Auth,
    Closed,
    Endpoint,
    Life,
    Listed,
    NotPlaced,
    Order,
    Placed,
    Probe,
    Secret,
    Status,
    Target,
)
from orchestrator.providers.port.errors import (
    CredentialRefused,
    NotClosed,
    NotSent,
    OutcomeUnknown,
    ProviderFull,
    Throttled,
)
from orchestrator.providers.shared.always_on import AlwaysOn
from orchestrator.providers.shared.driver_type import DriverType
from orchestrator.providers.shared.options import DriverOptions
from orchestrator.rules.values import Verdict


class Mood(StrEnum):
    """How a platform behaves today."""

    WELL = "well"
    DEAD = "dead"
    FORGETFUL = "forgetful"
    LOADING = "loading"
    THROTTLING = "throttling"
    FULL = "full"
    UNREACHABLE = "unreachable"
    LOSES_ANSWERS = "loses answers"
    LOSES_REQUESTS = "loses requests"
    KEEPS_OPEN = "keeps open"
    REFUSES_KEYS = "refuses keys"
    ENDS_EARLY = "ends early"


#: What a ping answers; everything else is ALIVE.
_SAYS: Mapping[Mood, Verdict] = {
    Mood.DEAD: Verdict.TRANSIENT,
    Mood.UNREACHABLE: Verdict.TRANSIENT,
    Mood.FORGETFUL: Verdict.GONE,
    Mood.LOADING: Verdict.LOADING,
    Mood.THROTTLING: Verdict.THROTTLED,
    Mood.REFUSES_KEYS: Verdict.CREDENTIALS,
}
#: Moods in which nothing that is closed is proven closed.
_PROVES_NOTHING = frozenset(
    {Mood.KEEPS_OPEN, Mood.LOSES_ANSWERS, Mood.LOSES_REQUESTS, Mood.UNREACHABLE, Mood.DEAD, Mood.THROTTLING}
)
#: The life of a session that was opened while the platform ended them early.
EARLY_END = timedelta(minutes=7)


@dataclass
class Opened:
    """One session at a platform."""

    handle: str
    key: str | None
    ends_at: datetime | None
    closed: bool = False


class MoodyOptions(DriverOptions):
    exclusive: bool = False
    """Each key carries one session, and its calls run one at a time."""


def card(options: MoodyOptions) -> Card:
    return Card(
        lifecycle=LifecycleCard(closes_by_id=True, max_nodes=3),
        identity=IdentityCard(
            names_create=True, exclusive_credentials=options.exclusive, serialised=options.exclusive
        ),
        status=StatusCard(can_list=not options.exclusive, can_ask=not options.exclusive),
    )


class MoodyDriver:
    """Opens sessions, finds them by their names, and closes them, as the mood allows."""

    def __init__(self, name: str, options: MoodyOptions, _http: HttpClient) -> None:
        self.name, self.card = name, card(options)
        self.mood = Mood.WELL
        self.clock: Callable[[], datetime] | None = None
        self.sessions: dict[str, Opened] = {}
        """By the name of the create; what is closed stays."""

    async def open(self, order: Order) -> Placed:
        self._refuse()
        if self.mood is Mood.LOSES_REQUESTS:
            raise OutcomeUnknown("the request was lost on its way")
        opened = self._opened(order)
        if self.mood is Mood.LOSES_ANSWERS:
            raise OutcomeUnknown("the answer was lost on its way", possible_orphans=True)
        return self._placed(order, opened)

    async def resolve(self, order: Order, *, close: bool) -> Placed | NotPlaced:
        if self.mood in {Mood.UNREACHABLE, Mood.LOSES_ANSWERS, Mood.LOSES_REQUESTS}:
            raise OutcomeUnknown("it does not answer")
        opened = self.sessions.get(order.name)
        if opened is None or not self._lives(opened):
            return NotPlaced(proof="its list does not have it")
        if not close:
            return self._placed(order, opened)
        if self.mood in _PROVES_NOTHING:
            raise OutcomeUnknown("it would not say whether it is closed")
        opened.closed = True
        return NotPlaced(proof="found and closed")

    async def probe(self, target: Target) -> Probe:
        said = _SAYS.get(self.mood, Verdict.ALIVE)
        opened = self.sessions.get(target.name or "")
        if said is Verdict.ALIVE and (opened is None or not self._lives(opened)):
            said = Verdict.GONE
        wait = 5.0 if said is Verdict.THROTTLED else None
        return Probe(verdict=said, latency_ms=5, detail=said.value, retry_after_seconds=wait)

    async def status(self, target: Target) -> Status:
        opened = self.sessions.get(target.name or "")
        lives = opened is not None and self._lives(opened) and self.mood is not Mood.FORGETFUL
        return Status(life=Life.UNKNOWN if lives or not self.card.status.can_ask else Life.GONE)

    async def close(self, target: Target) -> Closed:
        opened = self.sessions.get(target.name or "")
        if opened is not None and self.mood not in {Mood.KEEPS_OPEN, Mood.LOSES_REQUESTS, Mood.UNREACHABLE}:
            opened.closed = True
        if self.mood in _PROVES_NOTHING:
            raise NotClosed(f"it is {self.mood.value}")
        return Closed(proof="closed", nothing_was_open=opened is None)

    async def list(self, secret: Secret | None) -> Sequence[Listed]:
        key = secret.value if secret else None
        mine = (opened for opened in self.sessions.values() if opened.key == key and self._lives(opened))
        return [Listed(handle=opened.handle) for opened in mine]

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""

    def most_per_key(self) -> int:
        """Return the most sessions that are open under one key."""
        keys = [opened.key for opened in self.sessions.values() if self._lives(opened)]
        return max((keys.count(key) for key in keys), default=0)

    def _refuse(self) -> None:
        match self.mood:
            case Mood.FULL:
                raise ProviderFull("no capacity")
            case Mood.REFUSES_KEYS:
                raise CredentialRefused("this key is not known here")
            case Mood.UNREACHABLE:
                raise NotSent("no server listens")
            case Mood.THROTTLING:
                raise Throttled("too many requests", 5)
            case _:
                return

    def _opened(self, order: Order) -> Opened:
        key = order.secret.value if order.secret else None
        ends_at = self._now() + EARLY_END if self.mood is Mood.ENDS_EARLY else None
        handle = f"{self.name}-{len(self.sessions) + 1}"
        return self.sessions.setdefault(order.name, Opened(handle=handle, key=key, ends_at=ends_at))

    def _placed(self, order: Order, opened: Opened) -> Placed:
        endpoint = _endpoint(order, f"http://{self.name}.invalid/v1")
        return Placed(handle=opened.handle, endpoint=endpoint, ends_at=opened.ends_at)

    def _lives(self, opened: Opened) -> bool:
        return not opened.closed and (opened.ends_at is None or opened.ends_at > self._now())

    def _now(self) -> datetime:
        assert self.clock is not None
        return self.clock()


class EndlessDriver(AlwaysOn):
    """An endpoint that is always there, as long as the mood allows."""

    def __init__(self, name: str, _options: DriverOptions, _http: HttpClient) -> None:
        self.name = name
        self.mood = Mood.WELL

    async def open(self, order: Order) -> Placed:
        if self.mood is Mood.FULL:
            raise ProviderFull("no capacity")
        if self.mood is Mood.UNREACHABLE:
            raise NotSent("no server listens")
        if self.mood in {Mood.LOSES_ANSWERS, Mood.LOSES_REQUESTS}:
            raise OutcomeUnknown("no answer")
        return Placed(handle=order.placement_id, endpoint=_endpoint(order, f"http://{self.name}.invalid/v1"))

    async def probe(self, target: Target) -> Probe:
        said = _SAYS.get(self.mood, Verdict.ALIVE)
        wait = 5.0 if said is Verdict.THROTTLED else None
        return Probe(verdict=said, latency_ms=5, detail=said.value, retry_after_seconds=wait)


@contextmanager
def registered() -> Iterator[None]:
    """Register `driver = "moody"` and `driver = "endless"`."""
    drivers = dict(registry.DRIVERS)
    registry.DRIVERS = drivers | {
        "moody": DriverType(MoodyOptions, MoodyDriver, card),
        "endless": DriverType(DriverOptions, EndlessDriver, lambda _options: AlwaysOn.card),
    }
    try:
        yield
    finally:
        registry.DRIVERS = drivers


def _endpoint(order: Order, url: str) -> Endpoint:
    ref = order.secret.ref if order.secret else None
    return Endpoint(url=url, model=order.model, auth=Auth.BEARER, secret_ref=ref)
