"""Everything due is done without wake-ups: the broker is gone or refuses writes, or every scheduler is dead."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from tests.chaos.servers import Valkey
from tests.processes.conftest import PlatformOn
from tests.processes.platform import Platform, openai
from tests.waiting import eventually, free_port

#: Seconds that a stop may be late: a check without a wake-up, with much to spare on a busy machine.
LATE = timedelta(seconds=40)
#: The two stops of the story: by duration and by funds, while no wake-up arrives.
DURATION, FUNDS = 45, "0.02"
Trouble = Callable[[Platform, Valkey], None]


def kill_broker(_platform: Platform, valkey: Valkey) -> None:
    valkey.kill()


def refuse_writes(_platform: Platform, valkey: Valkey) -> None:
    with Redis(port=valkey.port) as redis:
        redis.config_set("maxmemory", "1")


def kill_schedulers(platform: Platform, _valkey: Valkey) -> None:
    platform.processes["scheduler"].send_signal(signal.SIGKILL)


@contextmanager
def running(postgres_url: str, directory: Path, platform_on: PlatformOn) -> Iterator[tuple[Platform, Valkey]]:
    """Start a platform with a separate broker, an account with funds and one with few."""
    valkey = Valkey(directory / "valkey", free_port())
    try:
        platform = platform_on(postgres_url, valkey.url)
        platform.simulate(alpha=openai("sk-alpha"))
        platform.configure(plans={"contract": {"billing_block_seconds": 5, "min_funded_seconds": 5}})
        platform.start("worker")
        platform.start("scheduler")
        platform.open_account("rich", plan="contract")
        platform.open_account("poor", plan="contract", amount=FUNDS)
        platform.put_model("llama", {"alpha": "llama-3"})
        yield platform, valkey
    finally:
        valkey.kill()


@pytest.mark.parametrize("trouble", [kill_broker, refuse_writes, kill_schedulers])
def test_pings_stops_funds_and_closes_go_on_without_wake_ups(
    trouble: Trouble, postgres_url: str, tmp_path: Path, platform_on: PlatformOn
) -> None:
    with running(postgres_url, tmp_path, platform_on) as (platform, valkey):
        stays = platform.create_session("llama", account_id="rich")
        ends = platform.create_session("llama", account_id="rich", stop={"max_duration_seconds": DURATION})
        starves = platform.create_session("llama", account_id="poor")
        platform.until_running(stays, ends, starves)
        trouble(platform, valkey)
        began = datetime.now().astimezone()
        for session_id, reason in ((ends, "max_duration"), (starves, "balance_exhausted")):
            eventually(lambda: platform.session(session_id).state == "stopped", f"{reason} ends it", 180)  # noqa: B023
            session = platform.session(session_id)
            assert session.stop_reason == reason
            assert session.stopped_at is not None
            assert session.stopped_at > began, "it stopped while no wake-up came"
            [placement] = platform.placements(session_id)
            assert placement.ended_at is not None
            assert placement.ended_at - session.stopped_at < LATE
        seen = platform.session(stays).last_ping_at
        assert seen is not None
        eventually(
            lambda: (platform.session(stays).last_ping_at or seen) > seen + timedelta(seconds=3), "pings"
        )
        assert platform.session(stays).state == "running"
        assert platform.processes["worker"].process.poll() is None
        restarts(platform)


def restarts(platform: Platform) -> None:
    """Check that no process of the tree has died."""
    with platform.database.reading() as tx:
        assert {one.restarts for one in tx.workers.listed()} == {0}
    assert "restarting it" not in platform.processes["worker"].text()
