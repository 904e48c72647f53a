"""The instances of a Sesterce account: what each one's status is follows from the clock.

Each run of an instance, from its start to its stop, is one session of the world: the first bears the
instance's id, the next ones `id~2`, `id~3` …
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.simulator.values import SimSession, Upstream
from orchestrator.simulator.world import Simulator

#: seconds: an instance has no end of its own
FOR_EVER = 10 * 365 * 86400.0
#: statuses under which the endpoint serves
SERVING = frozenset({"ACTIVE", "PARTIALLYDEPLOYED"})
_ENDED = {"expired": "DISABLED", "client": "DISABLED", "dead": "ERROR", "forgotten": None}


class Seed(BaseModel):
    """An instance that is there from the beginning."""

    model_config = ConfigDict(extra="forbid")

    id: str
    model: str
    name: str = "made in the console"
    running: bool = True


class Options(BaseModel):
    """How fast, how honest and how costly the platform is."""

    model_config = ConfigDict(extra="forbid")

    instances: list[Seed] = []
    #: status and for how many seconds, from each start until ACTIVE
    deploy: list[tuple[str, float]] = []
    #: seconds from the start until there is an address
    address_after: float = Field(default=0, ge=0)
    #: seconds until a new instance is in the list
    list_lag: float = Field(default=0, ge=0)
    #: seconds for which a stopped instance is still called ACTIVE
    stop_lag: float = Field(default=0, ge=0)
    #: seconds for which a deleted instance is still listed, as DELETING
    delete_lag: float = Field(default=0, ge=0)
    #: seconds without a request until an instance is scaled to zero, which is called PENDING
    sleeps_after: float | None = None
    #: model → why its containers fail
    fails: dict[str, str] = {}
    hourly_price: float = 1.5
    #: some statuses come in small letters
    lower_case: bool = False
    #: an address may lack its scheme
    bare_addresses: bool = False
    endpoint_auth: Literal["bearer", "x-api-key", "either"] = "x-api-key"
    #: what the endpoints want instead of an account's key
    endpoint_secret: str | None = None


@dataclass
class Instance:
    """What the platform remembers of one instance."""

    id: str
    name: str
    model: str
    key: str
    hardware: str
    created_at: float
    used_at: float
    runs: int = 0
    deleted_at: float | None = None

    @property
    def run(self) -> str:
        """The id of its newest run."""
        return self.id if self.runs < 2 else f"{self.id}~{self.runs}"

    @property
    def host(self) -> str:
        return f"{self.id}-{hashlib.sha256(self.id.encode()).hexdigest()[:6]}"


class Fleet:
    """One account's instances."""

    def __init__(self, world: Simulator, upstream: Upstream) -> None:
        assert isinstance(upstream.options, Options)
        self.options = upstream.options
        self._world, self._upstream = world, upstream
        if upstream.name not in world.fleets:
            world.fleets[upstream.name] = {}
            self._seed()
        self._all: dict[str, Instance] = world.fleets[upstream.name]

    def create(self, key: str, name: str, model: str, hardware: str) -> Instance:
        made = self._add(self._world.token_hex(12), key, name, model, hardware)
        self.start(made, key, label=name)
        return made

    def start(self, instance: Instance, key: str, label: str | None = None) -> None:
        now = self._world.clock()
        instance.runs, instance.used_at, instance.key = instance.runs + 1, now, key
        self._world.sessions.open(
            upstream=self._upstream.name,
            key=key,
            model=instance.model,
            seconds=FOR_EVER,
            label=label,
            as_id=instance.run,
        )

    def stop(self, instance: Instance) -> bool:
        """Stop an instance. Return False if it did not run."""
        run = self.run_of(instance)
        if run is None or not run.is_open:
            return False
        self._world.sessions.end(run.id, "client")
        return True

    def delete(self, instance: Instance) -> bool:
        """Delete an instance. Return False if it no longer ran."""
        instance.deleted_at = self._world.clock()
        return self.stop(instance)

    def find(self, reference: str) -> Instance | None:
        """Find an instance by its id, or by the first part of an endpoint's host."""
        instance = self._all.get(reference.partition("-")[0])
        return instance if instance and self.status(instance) not in (None, "DELETING") else None

    def listed(self) -> list[Instance]:
        now, lag = self._world.clock(), self.options.list_lag
        seen = (one for one in self._all.values() if now - one.created_at >= lag)
        return [one for one in seen if self.status(one) is not None]

    def run_of(self, instance: Instance) -> SimSession | None:
        return self._world.sessions.get(instance.run) if instance.runs else None

    def status(self, instance: Instance) -> str | None:
        """Return the status of an instance, or None once it is deleted."""
        now, run = self._world.clock(), self.run_of(instance)
        if instance.deleted_at is not None:
            return "DELETING" if now - instance.deleted_at < self.options.delete_lag else None
        if run is None:
            return "DISABLED"
        if run.is_open:
            return self._running(instance, now - run.opened_at)
        if run.closed_by == "dead" and instance.model in self.options.fails:
            return "FAILED"
        lags = run.closed_by == "client" and now - (run.closed_at or 0) < self.options.stop_lag
        return "ACTIVE" if lags else _ENDED.get(run.closed_by or "", "DISABLED")

    def as_json(self, instance: Instance, origin: str) -> dict[str, Any]:
        status = self.status(instance) or "DELETED"
        ready = int(status == "ACTIVE")
        error = self.options.fails.get(instance.model) if status == "FAILED" else None
        container = {
            "regionId": "eu-1",
            "scale": 1,
            "deployStatus": {"total": 1, "ready": ready},
            "errorMessage": error,
        }
        return {
            "_id": instance.id,
            "name": instance.name,
            "status": status.lower() if self.options.lower_case else status,
            "hourlyPrice": self.options.hourly_price,
            "features": ["chat"],
            "address": self._address(instance, origin),
            "createdAt": _written(instance.created_at),
            "updatedAt": _written(self._world.clock()),
            "containers": [container],
        }

    def is_asleep(self, instance: Instance) -> bool:
        """Return whether the instance is scaled to zero; the next request to its endpoint wakes it."""
        run, after = self.run_of(instance), self.options.sleeps_after
        if after is None or run is None or not run.is_open or instance.deleted_at is not None:
            return False
        now = self._world.clock()
        return self._deploying(now - run.opened_at) is None and now - instance.used_at >= after

    def _running(self, instance: Instance, since_start: float) -> str:
        deploying = self._deploying(since_start)
        if deploying is not None:
            return deploying
        if instance.model in self.options.fails:
            self._world.sessions.end(instance.run, "dead")
            return "FAILED"
        return "PENDING" if self.is_asleep(instance) else "ACTIVE"

    def _deploying(self, since_start: float) -> str | None:
        for status, seconds in self.options.deploy:
            if since_start < seconds:
                return status
            since_start -= seconds
        return None

    def _address(self, instance: Instance, origin: str) -> str | None:
        run = self.run_of(instance)
        if run is not None and self._world.clock() - run.opened_at < self.options.address_after:
            return None
        whole = f"{origin}/{self._upstream.name}/endpoints/{instance.host}/"
        return whole.removeprefix("http://") if self.options.bare_addresses else whole

    def _seed(self) -> None:
        self._all = self._world.fleets[self._upstream.name]
        key = min(self._upstream.keys, default="")
        for seed in self.options.instances:
            made = self._add(seed.id, key, seed.name, seed.model, "seeded")
            if seed.running:
                self.start(made, key)

    def _add(self, ident: str, key: str, name: str, model: str, hardware: str) -> Instance:
        now = self._world.clock()
        made = Instance(
            id=ident, name=name, model=model, key=key, hardware=hardware, created_at=now, used_at=now
        )
        self._all[ident] = made
        return made


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
