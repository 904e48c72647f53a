"""The endpoints of a Hugging Face namespace. Each endpoint's state follows from the clock.

An endpoint is one session of the world, with the endpoint's name as its id. One that is created again under the same
name is `name~2`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.simulator.values import SimSession, Upstream
from orchestrator.simulator.world import Simulator

#: seconds: an endpoint has no end of its own
FOR_EVER = 10 * 365 * 86400.0
#: states in which the endpoint serves
SERVING = frozenset({"running", "updating"})
_ENDED = {"expired": "paused", "client": "paused", "dead": "failed", "forgotten": None}


class Options(BaseModel):
    """The platform's delays, limits and errors."""

    model_config = ConfigDict(extra="forbid")

    namespace: str = "team"
    instance_types: list[str] = ["nvidia-l4"]
    #: state and for how many seconds, from the create until running
    deploy: list[tuple[str, float]] = []
    #: seconds from the create until there is an address
    url_after: float = Field(default=0, ge=0)
    #: seconds until a new endpoint is in the list
    list_lag: float = Field(default=0, ge=0)
    #: seconds for which a deleted endpoint is still shown as it was
    delete_lag: float = Field(default=0, ge=0)
    #: endpoints that may exist at one time
    quota: int | None = Field(default=None, ge=0)
    #: model → why its container fails
    fails: dict[str, str] = {}


@dataclass
class Hosted:
    """The platform's record of one endpoint."""

    name: str
    session: str
    model: str
    written: Mapping[str, Any]
    created_at: float
    #: requests have used it since; only where it scales to zero
    used_at: float
    deleted_at: float | None = None

    @property
    def host(self) -> str:
        return hashlib.sha256(self.session.encode()).hexdigest()[:16]


class Hosting:
    """One namespace's endpoints."""

    def __init__(self, world: Simulator, upstream: Upstream) -> None:
        assert isinstance(upstream.options, Options)
        self.options = upstream.options
        self._world, self._upstream = world, upstream
        self._all: dict[str, Hosted] = world.fleets.setdefault(upstream.name, {})

    def create(self, key: str, name: str, model: str, written: Mapping[str, Any]) -> Hosted:
        now = self._world.clock()
        ids = {one.id for one in self._world.sessions.all()}
        number = next(n for n in range(1, len(ids) + 2) if _numbered(name, n) not in ids)
        session = self._world.sessions.open(
            upstream=self._upstream.name,
            key=key,
            model=model,
            seconds=FOR_EVER,
            label=name,
            as_id=_numbered(name, number),
        )
        made = Hosted(
            name=name, session=session.id, model=model, written=written, created_at=now, used_at=now
        )
        self._all[name] = made
        return made

    def delete(self, one: Hosted) -> bool:
        """Delete an endpoint. Return False if it no longer ran."""
        one.deleted_at = self._world.clock()
        if not self.session_of(one).is_open:
            return False
        self._world.sessions.end(one.session, "client")
        return True

    def find(self, name: str) -> Hosted | None:
        one = self._all.get(name)
        return one if one and self.state(one) is not None else None

    def at(self, host: str) -> Hosted | None:
        return next((one for one in self.shown() if one.host == host and one.deleted_at is None), None)

    def shown(self) -> list[Hosted]:
        return [one for one in self._all.values() if self.state(one) is not None]

    def listed(self) -> list[Hosted]:
        now = self._world.clock()
        return [one for one in self.shown() if now - one.created_at >= self.options.list_lag]

    def session_of(self, one: Hosted) -> SimSession:
        session = self._world.sessions.get(one.session)
        assert session is not None
        return session

    def state(self, one: Hosted) -> str | None:
        """Return the state of an endpoint, or None once it is not shown any more."""
        now, session = self._world.clock(), self.session_of(one)
        if one.deleted_at is not None:
            lags = session.closed_by == "client" and now - one.deleted_at < self.options.delete_lag
            return "running" if lags else None
        if not session.is_open:
            return _ENDED.get(session.closed_by or "", "paused")
        return self._deploying(one) or self._served(one)

    def as_json(self, one: Hosted, origin: str) -> dict[str, Any]:
        state = self.state(one) or "paused"
        created, ready = _written(one.created_at), int(state in SERVING)
        status: dict[str, Any] = {
            "createdAt": created,
            "createdBy": {"id": "5f0c", "name": "user-5f0c"},
            "updatedAt": created,
            "updatedBy": {"id": "5f0c", "name": "user-5f0c"},
            "private": None,
            "state": state,
            "message": self.options.fails.get(one.model, "") if state == "failed" else f"Endpoint is {state}",
            "readyReplica": ready,
            "targetReplica": 1,
        }
        if self._world.clock() - one.created_at >= self.options.url_after:
            status["url"] = f"{origin}/{self._upstream.name}/endpoints/{one.host}"
        return {**one.written, "status": status}

    def _served(self, one: Hosted) -> str:
        if one.model in self.options.fails:
            self._world.sessions.end(one.session, "dead")
            return "failed"
        minutes = at_path(one.written, "compute.scaling.scaleToZeroTimeout")
        idle = self._world.clock() - one.used_at
        return "scaledToZero" if minutes and idle >= 60 * float(minutes) else "running"

    def _deploying(self, one: Hosted) -> str | None:
        since = self._world.clock() - one.created_at
        for state, seconds in self.options.deploy:
            if since < seconds:
                return state
            since -= seconds
        return None


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}~{number}"


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def at_path(body: Any, path: str) -> Any:
    """Return the value at a dotted path; None if there is none."""
    for part in path.split("."):
        body = body.get(part) if isinstance(body, Mapping) else None
    return body
