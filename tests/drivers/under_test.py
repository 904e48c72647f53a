"""What the tests must know of a platform: one `PlatformUnderTest` for each way in which a driver is used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from orchestrator.providers import registry
from orchestrator.providers.port.card import Card
from orchestrator.providers.port.errors import ModelMissing, Refused
from orchestrator.simulator import Simulator
from tests.upstreams import MODEL, Upstream


def open_at_platform(simulator: Simulator, upstream: str, key: str, label: str | None) -> str:
    """Open a session at the platform, as a person or another installation does; return its id there."""
    opened = simulator.sessions.open(upstream=upstream, key=key, model=MODEL, seconds=86400, label=label)
    return opened.id


@dataclass(frozen=True, kw_only=True)
class PlatformUnderTest(Upstream):
    """The tests' data of a platform. The contract, the stories and the hour of faults run for each of these."""

    name: str = ""
    """Made of the driver and its variant."""
    variant: str = ""
    """Where one driver is under test in more than one way."""
    story_options: Mapping[str, Any] = field(default_factory=dict)
    """Other options in the stories, where time is moved by hand."""

    open_operation: str
    """The simulator's name of the request that an open waits for."""
    opens: bool = True
    """An open is a separate request, which can be refused or lost; otherwise the driver only reads."""
    opens_anew: bool = False
    """The identical open, sent again, opens another one: a lost answer must be resolved."""
    unknown_model: type[Refused] = ModelMissing
    """Its answer for a model that it does not serve."""
    long_lists: tuple[tuple[str, str], ...] = ()
    """Lists that may be long: the simulator's name of the request, and the driver's method that sends it."""
    may_lack_key: bool = False
    """It takes callers without a key, or sessions with their own."""
    ping_proves_close: bool = False
    """A session is closed where a close was answered and a ping says gone."""
    says_expired: bool = False
    """It reports an end by its schedule as such; others only report an end."""
    streams: bool = False
    """Its pings end with the first chunk of a stream: later chunks are not seen."""
    serves_one_model: bool = False
    """An endpoint is a server of one model, which answers elsewhere while it works on a chat."""
    name_there: Callable[[str], str] = str
    """How the name of an order is written at the platform."""
    open_at_platform: Callable[[Simulator, str, str, str | None], str] = open_at_platform

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.driver}-{self.variant}" if self.variant else self.driver)

    @property
    def card(self) -> Card:
        return registry.card(self.driver, {self.url_option: "http://127.0.0.1", **self.options})

    @property
    def attaches(self) -> bool:
        """Whether another system opens: each session brings its own key."""
        return self.card.lifecycle.attaches

    @property
    def has_sessions(self) -> bool:
        """Whether the platform itself has sessions, and can end one."""
        return self.card.lifecycle.managed

    @property
    def provider_options(self) -> Mapping[str, Any]:
        return {**self.options, **self.story_options}

    @property
    def secrets(self) -> dict[str, str]:
        own = super().secrets
        return {f"ATTACHED_{n}": key for n, key in enumerate(own.values(), 1)} if self.attaches else own

    @property
    def refs(self) -> tuple[str, ...]:
        return () if self.attaches else super().refs

    def with_options(self, **options: Any) -> Self:
        return replace(self, story_options={**self.story_options, **options})
