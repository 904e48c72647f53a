"""The small world with every platform in it.

world = PlatformWorld(url, PLATFORMS)
session_id = world.run_at("sesterce")
world.end_there(session_id)       # the platform ends it by itself
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator.rules.states import PlacementState
from orchestrator.rules.values import Placement, Plan, Policy
from orchestrator.settings import Configuration
from orchestrator.settings.configuration import AttachRule
from orchestrator.simulator import Call
from tests.drivers import MODEL, PLATFORMS, PlatformUnderTest
from tests.world import SECOND, World


class PlatformWorld(World):
    """One provider for each platform, and a model of the same name that it serves; `acme` has a contract.

    `pair`: two providers that serve one model, the first preferred."""

    def __init__(
        self,
        database_url: str,
        platforms: Iterable[PlatformUnderTest] = PLATFORMS,
        *,
        policy: Policy | None = None,
    ) -> None:
        contract = Plan(name="contract", billing_block_seconds=60)
        self.platforms = {platform.name: platform for platform in platforms}
        super().__init__(database_url, self.platforms.values(), policy=policy, plans={"contract": contract})
        self._attached = 0

    def stock(self) -> None:
        self.open_account("acme", "contract", "100000")
        for name in self.platforms:
            self.put_model(name, {name: MODEL})

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

    def unproven(self, session_id: str) -> bool:
        return any(one.state is PlacementState.CLOSING for one in self.placements(session_id))

    def with_database(self, act: Any) -> Any:
        return self.services.database.transact(act)

    # inside

    def configuration(self) -> Configuration:
        rule = AttachRule(secret_ref="env:ATTACHED_*", host="127.0.0.1")
        return replace(super().configuration(), attach_allowed=(rule,))

    def _attach(self, platform: PlatformUnderTest) -> dict[str, Any]:
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
