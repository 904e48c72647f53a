"""A world in which hundreds of sessions live and end on every platform, while a worker runs twice a minute."""

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from orchestrator.flows.upstream.brake import review as review_brakes
from orchestrator.flows.upstream.credentials import retry_paused
from orchestrator.rules.states import TERMINAL, State, Step
from orchestrator.rules.values import Attach, Placement, Policy, Session
from orchestrator.simulator import SimSession
from tests.drivers import PLATFORMS, PlatformUnderTest
from tests.platforms.fault_mix import FaultMix
from tests.platforms.world import PlatformWorld
from tests.world import FLOWS, SECOND

#: Interval of the worker.
TICK = 30 * SECOND
#: Five minutes between pings, and a short timeout for them: a hanging call hangs in real time.
POLICY = Policy(ping_interval_seconds=300, ping_timeout_seconds=3)
#: Sessions in a hundred that live at one time on each platform; two ways of one driver share them.
PERCENT = int(os.environ.get("LOAD") or 100)
LOAD: Mapping[str, int] = {
    one.name: PERCENT // sum(other.driver == one.driver for other in PLATFORMS) for one in PLATFORMS
}
#: The accounts that pay for them.
ACCOUNTS = tuple(f"account-{n}" for n in range(60))
#: Of all sessions: closed by their users before their time; ended by the platform each tick, of a hundred.
CLOSED_EARLY, ENDED_THERE = 0.2, 0.2
_ALIVE = [state for state in State if state not in TERMINAL]


def loaded_platforms() -> list[PlatformUnderTest]:
    """Return the platforms with keys for all: exclusive ones, and one for each attached endpoint that ever lives."""
    return [replace(platform, keys=_keys(platform)) for platform in PLATFORMS]


def _keys(platform: PlatformUnderTest) -> int:
    if platform.attaches:
        return 20 * LOAD[platform.name]
    return LOAD[platform.name] + 20 if platform.card.identity.exclusive_credentials else 1


@dataclass(frozen=True, kw_only=True)
class Life:
    """One session of ours, its placements, and the platforms' own data of them."""

    session: Session
    placements: tuple[Placement, ...]
    upstream: SimSession | None
    """The session of the newest placement: an earlier one that ended was replaced."""

    def killed_before(self, instant: datetime | None) -> bool:
        """Return whether the platform itself had ended this session's placement by then."""
        there = self.upstream
        if instant is None or there is None or there.closed_at is None:
            return False
        return there.closed_by in ("expired", "dead") and there.closed_at <= instant.timestamp()


class Hour:
    """The load: sessions come, live for a while, and go."""

    def __init__(self, world: PlatformWorld, seed: int) -> None:
        self.world = world
        self.faults = FaultMix(world.server, tuple(world.platforms.values()), seed)
        self._random = random.Random(seed)
        self._living: dict[str, str] = {}
        self._began = world.clock.now
        self._leaves_at: dict[str, Any] = {}
        self._in_the_console: set[str] = set()
        self.all: list[str] = []
        self.killed: list[str] = []
        for account_id in ACCOUNTS:
            world.open_account(account_id, "contract", "1000")

    def live(self, span: timedelta) -> None:
        """Run an hour with faults."""
        self.faults.begin()
        while self.world.clock.now < self._began + span:
            self.faults.turn(self.world.clock.now - self._began)
            self._come()
            self._go()
            self._lose_some()
            self.tick()

    def die_out(self, span: timedelta) -> None:
        """Close all sessions without faults, and let late answers, debts and retries come to their end.

        A lost open that may have made one of two sessions is in doubt until these end by themselves: two hours of a
        session, 25 minutes to start and close, and the wait until the next look."""
        self.faults.end()
        staying, end = list(self._living), self.world.clock.now + span
        while self.world.clock.now < end and self._look():
            for session_id in staying[:50]:
                self.world.job("session.close", session_id=session_id)
            staying = staying[50:]
            self.tick()

    def tick(self) -> None:
        """Do what is due, and what becomes due by that."""
        for _ in range(60):  # lifecycle calls under one key wait for each other
            due = self.world.due()
            flows = [flow for step, flow in FLOWS.items() if step in due or step is Step.STOP]
            if not sum(flow(self.world.services).claimed for flow in flows):
                break
        review_brakes(self.world.services)
        retry_paused(self.world.services)
        self._operate_the_console()
        self.world.clock.now += TICK

    def lives(self) -> list[Life]:
        """Return the lives of all sessions that ever existed."""
        upstream = self.world.server.sessions()
        mine = {one.id: one for one in upstream} | {
            one.key: one for one in upstream if self.world.platforms[one.upstream].attaches
        }
        return [self._life(session_id, mine) for session_id in self.all]

    def _life(self, session_id: str, upstream: Mapping[str, SimSession]) -> Life:
        placements = tuple(self.world.placements(session_id))
        newest = placements[-1] if placements else None
        name = newest and (newest.handle if newest.attach is None else self._key(newest.attach))
        known = upstream.get(name) if name else None
        return Life(session=self.world.session(session_id), placements=placements, upstream=known)

    def _key(self, attach: Attach) -> str:
        return self.world.secrets[attach.secret_ref.removeprefix("env:")]

    def _look(self) -> dict[str, Session]:
        """Forget ended sessions; read the others again."""
        with self.world.services.database.reading() as tx:
            living = {one.id: one for one in tx.sessions.listed(states=_ALIVE, limit=10_000)}
        self._living = {session_id: self._living[session_id] for session_id in living}
        return living

    def _come(self) -> None:
        """Create a twelfth of the load each tick at most, so that their pings do not all fall together."""
        self._look()
        for name, wanted in LOAD.items():
            there = sum(mine == name for mine in self._living.values())
            for _ in range(min(wanted - there, -(-wanted // 12))):
                seconds = self._random.randint(1200, 7200)
                session_id = self.world.create_at(
                    name,
                    account_id=self._random.choice(ACCOUNTS),
                    stop={"max_duration_seconds": seconds},
                    on_quota="queue",
                )
                self._living[session_id] = name
                self.all.append(session_id)
                if self.world.platforms[name].attaches:
                    self._in_the_console.add(session_id)
                if self._random.random() < CLOSED_EARLY:
                    stay = timedelta(seconds=self._random.randint(0, seconds))
                    self._leaves_at[session_id] = self.world.clock.now + stay

    def _go(self) -> None:
        due = [one for one, at in self._leaves_at.items() if at <= self.world.clock.now]
        for session_id in due:
            del self._leaves_at[session_id]
            self.world.job("session.close", session_id=session_id)

    def _lose_some(self) -> None:
        """End a session at its platform now and then."""
        for one in self.world.server.open_sessions():
            if self._random.random() * 100 < ENDED_THERE:
                self.world.server.end_session(one.id, self._random.choice(["expired", "dead"]))
                self.killed.append(one.id)

    def _operate_the_console(self) -> None:
        """End attached endpoints, as an operator does: those that are unwanted, or never served a session."""
        living = self._look()
        for session_id in list(self._in_the_console):
            if session_id not in living:
                self._in_the_console.discard(session_id)
            elif living[session_id].state is not State.STOPPING:
                continue
            self._end_in_the_console(session_id)

    def _end_in_the_console(self, session_id: str) -> None:
        placements = self.world.placements(session_id)
        if not placements:
            return  # it never got so far
        attach = placements[-1].attach
        assert attach is not None
        for one in self.world.server.open_sessions():
            if one.key == self._key(attach):
                self.world.server.end_session(one.id)
