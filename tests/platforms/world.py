"""The small world with every platform in it.

world = PlatformWorld(url, PLATFORMS)
session_id = world.run_at("sesterce")
world.end_there(session_id)       # the platform ends it by itself
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from orchestrator.rules.states import PlacementState
from orchestrator.rules.values import Placement, Plan, Policy
from orchestrator.settings import Configuration, ProviderConfiguration
from orchestrator.settings.configuration import AttachRule
from orchestrator.simulator import Call
from tests.providers.stage import TEMPLATE, WALLET
from tests.world import SECOND, World

#: The model of every upstream here.
MODEL = "llama-3"


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The stories' data of a platform; a new driver gets them all by one of these."""

    name: str
    driver: str
    kind: str = ""
    """Of the simulated upstream; the driver's name where it is the same."""
    opens_by: str
    """The simulator's name of the request that an open waits for."""
    options: Mapping[str, Any] = field(default_factory=dict)
    upstream: Mapping[str, Any] = field(default_factory=dict)
    url_option: str = "base_url"
    keys: int = 1
    policy: Policy | None = None
    attaches: bool = False
    """Another system opens: each session brings its own key."""
    has_sessions: bool = True
    """The platform itself has sessions, and can end one."""
    says_expired: bool = False
    """It reports an end by its schedule as such; others only report an end."""
    opens: bool = True
    """An open is a separate request, which can be lost; otherwise the driver only reads."""

    @property
    def secret(self) -> str:
        return self.name.upper().replace("-", "_")

    def with_options(self, **options: Any) -> "Platform":
        return replace(self, options={**self.options, **options})

    def refs(self) -> list[str]:
        return [] if self.attaches else [f"env:{self.secret}_{n}" for n in range(1, self.keys + 1)]


PLATFORMS = (
    Platform(name="openai", driver="openai", opens_by="models", has_sessions=False, opens=False),
    Platform(name="aimlapi", driver="aimlapi", opens_by="key", has_sessions=False, opens=False),
    Platform(
        name="sesterce",
        driver="sesterce",
        opens_by="create",
        url_option="control_url",
        options={
            "on_open": "create",
            "on_close": "delete",
            "instance": {"hardwareName": "l40s"},
            "poll_seconds": 0.02,
        },
    ),
    Platform(
        name="fpt-attach",
        driver="fpt",
        opens_by="chat",
        options={"mode": "attach"},
        upstream={"console_seconds": 86400},
        attaches=True,
        opens=False,
        keys=4,
    ),
    Platform(name="fpt-template", driver="fpt", opens_by="open", options=TEMPLATE),
    Platform(
        name="morpheus",
        driver="morpheus",
        opens_by="open",
        options={"close_retry_seconds": 0.01},
        keys=2,
        says_expired=True,
    ),
    Platform(
        name="morpheus-node",
        driver="morpheus-node",
        opens_by="open",
        options={"user": WALLET, "open_within_seconds": 60, "list_lag_seconds": 0, "nonce_rest_seconds": 0.1},
        says_expired=True,
    ),
)


def platform_of(name: str) -> Platform:
    return next(platform for platform in PLATFORMS if platform.name == name)


class PlatformWorld(World):
    """One provider for each platform, and a model of the same name that it serves; `acme` has a contract.

    `pair`: two providers that serve one model, the first preferred."""

    def __init__(
        self, database_url: str, platforms: Iterable[Platform] = PLATFORMS, *, policy: Policy | None = None
    ) -> None:
        contract = Plan(name="contract", billing_block_seconds=60)
        super().__init__(database_url, policy=policy, plans={"contract": contract})
        self.platforms = {platform.name: platform for platform in platforms}
        self._attached = 0

    def __enter__(self) -> "PlatformWorld":
        self._stack.enter_context(self.server)
        self.secrets: dict[str, str] = {}
        self.providers = {name: self._configured(platform) for name, platform in self.platforms.items()}
        self.services = self.another_worker()
        self.done("account.put", account_id="acme", plan="contract", currency="USD")
        self.done("account.credit", account_id="acme", amount="100000", currency="USD", key="opening")
        for name in self.platforms:
            self.put_model(name, {name: MODEL})
        return self

    # sessions

    def create_at(self, name: str, **kwargs: Any) -> str:
        """Return a new session of the model of that platform."""
        platform = self.platforms[name]
        if platform.attaches and "attach" not in kwargs:
            kwargs["attach"] = self._attach(platform)
        return self.create_session(name, **kwargs)

    def attachment(self, name: str) -> dict[str, Any]:
        """Return another endpoint of the console."""
        return self._attach(self.platforms[name])

    def run_at(self, name: str, **kwargs: Any) -> str:
        """Return one that is running."""
        session_id = self.create_at(name, **kwargs)
        for _ in range(10):  # lifecycle calls under one key wait for each other
            self.settle()
            if self.session(session_id).state == "running":
                return session_id
            self.pass_time(SECOND)
        raise AssertionError(self.session(session_id), self.placements(session_id))

    def run_many_at(self, name: str, count: int, **kwargs: Any) -> list[str]:
        return [self.run_at(name, **kwargs) for _ in range(count)]

    def end_there(self, session_id: str, how: str = "expired") -> None:
        """End it at the platform, silently."""
        self.server.end_session(self.upstream_session(session_id), how)

    def upstream_session(self, session_id: str) -> str:
        """Return the simulated platform's session."""
        placement = self.placement(session_id)
        if placement.attach is None:
            assert placement.handle is not None
            return placement.handle
        key = self.secrets[placement.attach.secret_ref.removeprefix("env:")]
        return next(one.id for one in self.server.open_sessions() if one.key == key)

    def placement(self, session_id: str) -> Placement:
        """Return the newest placement."""
        return self.placements(session_id)[-1]

    # seeing

    def fault_at(self, name: str, fault: str, operation: str = "chat", **kwargs: Any) -> str:
        return self.server.fault(fault, upstream=name, operation=operation, **kwargs)

    def chats(self, name: str, session: str | None = None) -> list[Call]:
        wanted: dict[str, Any] = {"session": session} if session else {}
        return self.server.log(upstream=name, operation="chat", **wanted)

    def told_of(self, name: str) -> list[str]:
        """Return the short names of a provider's events."""
        return self.events(name)

    def unproven(self, session_id: str) -> bool:
        return any(one.state is PlacementState.CLOSING for one in self.placements(session_id))

    def with_database(self, act: Any) -> Any:
        return self.services.database.transact(act)

    # inside

    def keys_of(self, platform: Platform) -> list[str]:
        """Return its keys."""
        return [f"sk-{platform.name}-{n}" for n in range(1, platform.keys + 1)]

    def _configuration(self) -> Configuration:
        rule = AttachRule(secret_ref="env:ATTACHED_*", host="127.0.0.1")
        plain = Configuration(policy=self._policy, plans=self._plans, providers=self.providers)
        return replace(plain, attach_allowed=(rule,))

    def _configured(self, platform: Platform) -> ProviderConfiguration:
        keys = self.keys_of(platform)
        kind = platform.kind or platform.driver
        url = self.server.add_upstream(platform.name, kind, keys, [MODEL], **platform.upstream)
        prefix = "ATTACHED" if platform.attaches else platform.secret
        self.secrets |= {f"{prefix}_{n}": key for n, key in enumerate(keys, 1)}
        other = {} if platform.url_option == "base_url" else {platform.url_option: url}
        return ProviderConfiguration(
            name=platform.name,
            driver=platform.driver,
            base_url="" if other else url,
            credentials=tuple(platform.refs()),
            max_in_flight=500,
            policy=platform.policy or self._policy,
            options={**platform.options, **other},
        )

    def _attach(self, platform: Platform) -> dict[str, Any]:
        """Attach another endpoint of the console, with its own key."""
        self._attached += 1
        url = f"{self.server.url}/{platform.name}/aiam/v1/chat/completions"
        return {"endpoint_url": url, "secret_ref": f"env:ATTACHED_{self._attached}", "model": MODEL}

    def _next_due(self) -> datetime | None:
        """Return when to try again. Held rows stay due: their hold ends by itself."""
        now, due = self.clock.now, super()._next_due()
        if due is None or due > now:
            return due
        with self.services.database.reading() as tx:
            credentials = tx.credentials.listed()
        ends = [one.cool_until for one in credentials if one.cool_until and one.cool_until > now]
        return min([*ends, now + SECOND])
