"""The small world: that of one process, over simulated upstream platforms that misbehave."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from aiohttp.abc import AbstractResolver

from orchestrator.providers.http.client import ClientOptions, HttpClient
from orchestrator.providers.http.resolver import WatchedResolver
from orchestrator.simulator import Simulator, SimulatorServer
from tests.in_process import FLOWS, HOUR, MINUTE, SECOND, START, Clock, InProcessWorld
from tests.upstreams import Upstream

__all__ = ["FLOWS", "HOUR", "MINUTE", "SECOND", "START", "Clock", "World"]

#: Addresses of the providers, in a world with a resolver.
HOSTS = {"alpha": "alpha.example", "beta": "beta.test", "morph": "morph.invalid"}

#: The endpoints of the small world that are always there.
ALWAYS_ON = (
    Upstream(name="alpha", driver="openai", models=("llama-3", "base-3"), numbers_keys=False),
    Upstream(name="beta", driver="openai", numbers_keys=False),
)


class World(InProcessWorld):
    """One account `acme` with funds, always-on endpoints `alpha` and `beta`, one Morpheus gateway `morph`.

    Models: `llama` at alpha, `moral` at morph, `pair` at alpha and then beta, `roam` at morph and then alpha,
    `base` (not instruction-tuned) at alpha."""

    def __init__(
        self,
        database_url: str,
        upstreams: Iterable[Upstream] | None = None,
        *,
        morpheus_keys: int = 2,
        gateway: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        resolver: AbstractResolver | None = None,
        **kind: Any,
    ) -> None:
        """`gateway`: options of the simulated gateway; `options`: those of the driver that speaks to it; `resolver`:
        finds the hosts alpha.example, beta.test and morph.invalid, asked at each call; `kind`: of the class above."""
        morph = Upstream(
            name="morph",
            driver="morpheus",
            models=("moral-1", "moral-2"),
            keys=morpheus_keys,
            options={"close_retry_seconds": 0.01} | (options or {}),
            upstream=gateway or {},
        )
        super().__init__(database_url, (*ALWAYS_ON, morph) if upstreams is None else upstreams, **kind)
        self.keys = list(morph.secrets.values())
        self.server = SimulatorServer(Simulator(clock=self.clock.seconds))
        self._resolver = resolver

    def __enter__(self) -> Self:
        self._stack.enter_context(self.server)
        self.begin()
        self.stock()
        return self

    def address_of(self, upstream: Upstream) -> str:
        url = self.server.add_upstream(upstream.name, **upstream.spec())
        return url if self._resolver is None else url.replace("127.0.0.1", HOSTS[upstream.name])

    def stock(self) -> None:
        """Put accounts and models."""
        self.open_account("acme")
        self.put_model("llama", {"alpha": "llama-3"})
        self.put_model("moral", {"morph": "moral-1"})
        self.put_model("pair", {"alpha": "llama-3", "beta": "llama-3"})
        self.put_model("roam", {"morph": "moral-1", "alpha": "llama-3"})
        self.put_model("base", {"alpha": "base-3"}, learning_stage="Pre-trained")

    def calls(self, operation: str, upstream: str = "morph") -> int:
        """Return how many such calls an upstream has received."""
        return len(self.server.log(upstream=upstream, operation=operation))

    def http(self) -> HttpClient | None:
        if self._resolver is None:
            return None
        watched = WatchedResolver(self._resolver, names=HOSTS.values(), hosts_file=Path("/nonexistent"))
        return HttpClient(ClientOptions(keepalive_seconds=0, dns_cache_seconds=0), resolver=watched)
