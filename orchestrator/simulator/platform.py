"""What every simulated platform consists of; one file in `platforms` fills it in."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import BaseModel

from orchestrator.simulator.values import Upstream
from orchestrator.simulator.wire import Ask, Refusal, Reply
from orchestrator.simulator.world import Simulator


@dataclass(frozen=True, kw_only=True)
class Route:
    """One call of a platform; `path` may hold `{names}`, which arrive in `ask.named`."""

    method: str
    path: str
    operation: str
    #: does the whole effect without awaiting, so that no leaving client can halve it
    handle: Callable[[Simulator, Ask], Reply]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return found.groupdict() if found else None


class Target(NamedTuple):
    """What a request is about, known before anything is done."""

    session: str | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A wire format: its calls, its ways to say who asks, and its words for trouble."""

    kind: str
    #: what follows the upstream's name in the base URL
    base_path: str
    options: type[BaseModel]
    routes: tuple[Route, ...]
    #: the key that a caller presents, right or wrong
    identify: Callable[[Upstream, Mapping[str, str]], str | None]
    #: the answer to a caller who may not enter, or None
    admit: Callable[[Ask], Reply | None]
    address: Callable[[Simulator, Ask], Target]
    refuse: Callable[[Refusal], Reply]
    unauthorized: Callable[[], Reply]
    not_found: Callable[[], Reply]
    #: how the platform says that the model or session is gone
    gone: Callable[[Ask], Reply]
    #: calls beside the base path, by their whole path
    rooted_routes: tuple[Route, ...] = ()
    #: where the words of an error depend on what was asked; `refuse` elsewhere
    refuse_at: Callable[[Ask, Refusal], Reply] | None = None
    #: faults that this platform words or does in its own way, by the fault's name
    quirks: Mapping[str, Callable[[Simulator, Ask], Reply]] = field(default_factory=dict)

    @property
    def every_route(self) -> tuple[Route, ...]:
        return (*self.routes, *self.rooted_routes)

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        """Return the route of a request, with the names in its path."""
        inside = path.startswith(f"{self.base_path}/")
        below = ((route, path.removeprefix(self.base_path)) for route in self.routes if inside)
        beside = ((route, path) for route in self.rooted_routes)
        for route, rest in (*below, *beside):
            named = route.match(method, rest)
            if named is not None:
                return route, named
        return None, {}

    def word(self, ask: Ask, refusal: Refusal) -> Reply:
        """Return an error in the platform's format."""
        return self.refuse_at(ask, refusal) if self.refuse_at else self.refuse(refusal)

    def perform(self, world: Simulator, ask: Ask, route: Route | None) -> Reply:
        """Perform the request without any fault."""
        if route is None:
            return self.not_found()
        return self.admit(ask) or route.handle(world, ask)

    def base_url(self, origin: str, name: str) -> str:
        return f"{origin}/{name}{self.base_path}"
