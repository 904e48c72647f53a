"""A real server with one slot, in real time: busy with a long answer it keeps its session, killed it loses it.

`ONE_SLOT_SECONDS=120` makes the answer as long as people's are."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from orchestrator.rules.states import State, StopReason
from orchestrator.rules.values import Policy, Session
from tests.platforms.one_slot import one_slot
from tests.upstreams import Upstream
from tests.world import Clock, World

SECONDS = float(os.environ.get("ONE_SLOT_SECONDS", "15"))
#: An unanswered ping is dead after three, over this long, without the look: a fraction of the answer.
POLICY = Policy(
    ping_interval_seconds=1,
    ping_timeout_seconds=1.5,
    dead_after_seconds=3,
    busy_warn_after_seconds=4,
    busy_dead_after_seconds=3600,
)
WAIT_LIMIT = 120


class RealTime(Clock):
    """The machine's own clock."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)

    def seconds(self) -> float:
        return time.time()


class RealWorld(World):
    """The small world in real time, with one more provider: a server with one slot."""

    def __init__(self, database_url: str, base_url: str) -> None:
        super().__init__(database_url, policy=POLICY, clock=RealTime())
        self.upstreams["llama-cpp"] = Upstream(name="llama-cpp", driver="openai", keys=0)
        self._base_url = base_url

    def address_of(self, upstream: Upstream) -> str:
        return self._base_url if upstream.name == "llama-cpp" else super().address_of(upstream)

    def live(self, session_id: str, seconds: float, until: State = State.STOPPED) -> Session:
        """Work for this long, or until the session is in this state."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.session(session_id).state is not until:
            self.settle()
            time.sleep(0.1)
        return self.session(session_id)


@contextmanager
def a_long_answer(url: str) -> Iterator[None]:
    """Take the slot with the user's own request, until it ends."""
    began, enough = threading.Event(), threading.Event()
    body: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Tell me everything."}]}
    body |= {"stream": True, "max_tokens": 2_000_000_000, "ignore_eos": True}

    def use() -> None:
        with (
            suppress(httpx.TransportError),
            httpx.stream("POST", f"{url}/chat/completions", json=body, timeout=WAIT_LIMIT) as answer,
        ):
            for _ in answer.iter_raw():
                began.set()
                if enough.is_set():
                    return

    user = threading.Thread(target=use)
    user.start()
    try:
        assert began.wait(WAIT_LIMIT)
        yield
    finally:
        enough.set()
        user.join(WAIT_LIMIT)


def test_a_long_answer_costs_no_session_and_a_kill_does(sqlite_url: str, tmp_path: Path) -> None:
    with one_slot(tmp_path) as (process, url), RealWorld(sqlite_url, url) as world:
        tiny = httpx.get(f"{url}/models", timeout=30).json()["data"][0]["id"]
        world.put_model("tiny", {"llama-cpp": tiny})
        session_id = world.create_session("tiny")
        assert world.live(session_id, WAIT_LIMIT, State.RUNNING).state is State.RUNNING

        with a_long_answer(url):
            busy = world.live(session_id, SECONDS)
            assert (busy.state, busy.failures) == (State.RUNNING, 0)
            assert busy.busy_since is not None
            assert "busy: models answers" in (busy.last_ping_detail or "")
        assert world.events(session_id).count("busy") == 1

        end = time.monotonic() + WAIT_LIMIT
        while world.session(session_id).busy_since is not None and time.monotonic() < end:
            world.live(session_id, 0.5)
        assert world.session(session_id).busy_since is None, "its slot is free again"

        with a_long_answer(url):
            world.live(session_id, 4)
            assert world.session(session_id).state is State.RUNNING
            process.kill()
            process.wait()
        dead = world.live(session_id, WAIT_LIMIT)
        assert dead.stop_reason is StopReason.DEAD
        assert "could not connect" in (dead.stop_detail or "")
