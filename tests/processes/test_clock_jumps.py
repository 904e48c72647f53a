"""The clock of a real PostgreSQL's host jumps by an hour under running sessions, and back: real workers, real time."""

import time
from collections.abc import Iterator
from decimal import Decimal

import pytest

from orchestrator.rules.states import State, StopReason
from tests.clocks import Clock, clock
from tests.postgres import PostgresServer, postgres_server
from tests.processes.conftest import PlatformOn
from tests.processes.platform import Platform, openai
from tests.servers import Postgres
from tests.waiting import eventually

HOUR, DURATION = 3600, 60


class Host:
    """The database's host; its clock can be set."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.is_off = clock.is_off


@pytest.fixture
def host() -> Iterator[Host]:
    """Start a PostgreSQL that reads its wall clock through libfaketime, and its monotonic one as it is."""
    with (
        clock() as its_clock,
        postgres_server(lambda place: PostgresServer(place, its_clock.of_server())) as server,
        Postgres(server.uri).fresh_database() as url,
    ):
        yield Host(url, its_clock)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_jump_of_the_databases_host_stops_nobody_and_costs_nothing(
    host: Host, valkey_url: str, platform_on: PlatformOn, jump: int
) -> None:
    platform = platform_on(host.url, valkey_url)
    platform.simulate(alpha=openai("sk-alpha"))
    platform.configure(policy={"ping_interval_seconds": 2}, alpha={"max_in_flight": 50})
    platform.start("worker")
    platform.start("scheduler")
    platform.open_account(plan="contract")
    platform.put_model("llama", {"alpha": "llama-3"})
    long = [platform.create_session("llama", stop={"max_duration_seconds": 1800}) for _ in range(2)]
    short = platform.create_session("llama", stop={"max_duration_seconds": DURATION})
    platform.until_running(*long, short)
    began = time.monotonic()

    host.is_off(jump)
    _jump_is(platform, standing=True)
    pings = len(platform.simulator.calls(operation="chat"))
    eventually(lambda: len(platform.simulator.calls(operation="chat")) > pings + 10, "more pings")
    assert {platform.session(session_id).state for session_id in (*long, short)} == {State.RUNNING}
    host.is_off(0)
    _jump_is(platform, standing=False)

    platform.until_over(short)
    assert time.monotonic() - began > DURATION - 10
    session = platform.session(short)
    assert session.stop_reason is StopReason.MAX_DURATION
    assert session.charged == Decimal("0.02")
    for session_id in long:
        assert platform.session(session_id).state is State.RUNNING
        assert platform.session(session_id).charged <= Decimal("0.06")


def _jump_is(platform: Platform, *, standing: bool) -> None:
    """Check that the jump and its alarm begin together; the alarm ends a minute after the jump, and no test waits for
    that."""

    def seen() -> bool:
        with platform.database.reading() as tx:
            known, alarms = tx.clock.known(), tx.installation_alarms.listed()
        jumped = known is not None and known.jumped_at is not None
        alarmed = "clock_jumped" in {alarm.kind for alarm in alarms}
        return jumped is standing and alarmed

    eventually(seen, f"the jump and its alarm: {standing}")
