"""`session explain` gives, in the rules' own words, the reason for a session's state, and what may stop it."""

from collections.abc import Sequence

import pytest
from rich.console import Console

from orchestrator.cli.views.explaining import explained
from orchestrator.flows.engine.provider_steps import claim_at
from orchestrator.flows.reports.explain import explain
from orchestrator.flows.steps.close_due import CLOSE
from tests.cli.conftest import Cli
from tests.world import HOUR, MINUTE, World


def test_a_running_session_is_reported_with_every_rule_that_may_stop_it(cli: Cli, world: World) -> None:
    stop = {"max_duration_seconds": 600, "idle_seconds": 900, "max_interactions": 5, "max_cost": "4"}
    session_id = world.run_session(stop=stop)
    reported = cli("session", "explain", session_id, "--json").json
    [overdue] = reported["because"]  # the real clock is far ahead of the world's, where it was pinged
    assert overdue.startswith("placement 1 at alpha: its next ping is overdue since 2026-01-01T12:00:")
    assert [rule["reason"] for rule in reported["stops"]][:2] == ["max_duration", "idle"]
    assert {"max_cost", "balance_exhausted"} <= {rule["reason"] for rule in reported["stops"]}
    assert (reported["used"]["interactions"], reported["used"]["max_interactions"]) == (0, 5)
    text = cli("session", "explain", session_id).out
    assert all(words in text for words in ("placement 1 at alpha: ", "0 of 5", "its own limit of 600 s"))
    assert "unless a late report moves it" in " ".join(text.split())


def test_a_doubt_is_reported_with_what_would_make_it_a_death(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    world.server.fault("error_before", upstream="alpha", operation="chat", times=1)
    world.jump(MINUTE)
    world.settle()
    reported = cli("session", "explain", session_id, "--json").json
    [doubt] = reported["doubts"]
    assert doubt.startswith("1 failed pings in a row since ")
    assert doubt.endswith("3 over 60 s mean dead")
    [because] = reported["because"]
    assert because.startswith("the last ping of placement 1 at alpha: TRANSIENT (")
    world.done("session.close", session_id=session_id)
    reported = cli("session", "explain", session_id, "--json").json
    assert reported["doubts"] == []
    assert reported["because"][0].startswith("user, with effect at ")
    assert not reported["because"][0].endswith("None")


def test_doubts_of_several_kinds_are_reported_with_the_one_bound_that_they_share(
    cli: Cli, world: World
) -> None:
    session_id = world.run_session()
    for fault in ("loading", "throttled"):
        world.server.fault(fault, upstream="alpha", operation="chat", times=1)
        world.jump(MINUTE)
        world.settle()
    doubts = cli("session", "explain", session_id, "--json").json["doubts"]
    [shared] = [doubt for doubt in doubts if doubt.startswith("no proof of life since ")]
    assert shared.endswith(": 3600 s of it mean dead where the last answer is THROTTLED")


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [("unauthorized", "CREDENTIALS"), ("throttled", "THROTTLED"), ("loading", "LOADING")],
)
def test_a_session_with_a_failed_ping_is_not_said_to_answer(world: World, fault: str, verdict: str) -> None:
    session_id = world.run_session()
    assert because(world, session_id) == ["placement 1 at alpha answers"]
    world.server.fault(fault, upstream="alpha", operation="chat", times=1)
    world.jump(MINUTE)
    world.settle()
    [failed] = because(world, session_id)
    assert failed.startswith(f"the last ping of placement 1 at alpha: {verdict}")
    world.pass_time(5 * MINUTE)
    assert because(world, session_id) == ["placement 1 at alpha answers"]
    world.jump(5 * MINUTE)
    [late] = because(world, session_id)
    assert "its next ping is overdue since" in late


def because(world: World, session_id: str) -> Sequence[str]:
    with world.services.database.reading() as tx:
        said = explain(tx, world.session(session_id), world.services.policy("alpha"), world.clock.now)
    found: Sequence[str] = said["because"]
    return found


def test_a_stopped_session_tells_who_and_why(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    world.done("session.close", session_id=session_id, reason="operator", detail="maintenance")
    world.pass_time(MINUTE)
    reported = cli("session", "explain", session_id, "--json").json
    assert reported["stops"] == []
    [because] = reported["because"]
    assert because.startswith("operator, with effect at ")
    assert because.endswith(": maintenance")


def test_while_a_worker_closes_it_the_retry_is_not_said_to_be_the_next_step(world: World) -> None:
    session_id = world.run_session()
    world.done("session.close", session_id=session_id)
    assert next_step(world, session_id).startswith("close ")
    assert claim_at(world.services, CLOSE, "alpha")
    claimed = next_step(world, session_id)
    assert claimed.startswith("a worker is closing it now; without an outcome: close in ")
    world.jump(HOUR)
    assert next_step(world, session_id).startswith("close "), "its lease has expired"


def next_step(world: World, session_id: str) -> str:
    with world.services.database.reading() as tx:
        found = explain(tx, world.session(session_id), world.services.policy("alpha"), world.clock.now)
    console = Console(width=200)
    with console.capture() as said:
        console.print(*explained(found, world.clock.now))
    [line] = [one for one in said.get().splitlines() if one.startswith("next step")]
    return line.removeprefix("next step").strip()


def test_one_that_waits_tells_for_what(cli: Cli, world: World) -> None:
    for _ in range(2):
        world.run_session()
    session_id = world.create_session(on_quota="queue")
    text = cli("session", "explain", session_id).out
    assert "number 1 in its account's queue and waits for quota_concurrent_exceeded" in text
    assert "queue_timeout" in text


def test_an_unknown_session_is_refused(cli: Cli, world: World) -> None:
    said = cli("session", "explain", "nobody")
    assert (said.code, said.out) == (3, "")
    assert "unknown_session" in said.err
