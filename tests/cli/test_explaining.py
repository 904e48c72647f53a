"""`session explain` gives, in the rules' own words, the reason for a session's state, and what may stop it."""

from tests.cli.conftest import Cli
from tests.world import MINUTE, World


def test_a_running_session_is_told_with_every_rule_that_may_stop_it(cli: Cli, world: World) -> None:
    stop = {"max_duration_seconds": 600, "idle_seconds": 900, "max_interactions": 5, "max_cost": "4"}
    session_id = world.run_session(stop=stop)
    told = cli("session", "explain", session_id, "--json").json
    assert told["because"] == ["placement 1 at alpha answers"]
    assert [rule["reason"] for rule in told["stops"]][:2] == ["max_duration", "idle"]
    assert {"max_cost", "balance_exhausted"} <= {rule["reason"] for rule in told["stops"]}
    assert (told["used"]["interactions"], told["used"]["max_interactions"]) == (0, 5)
    text = cli("session", "explain", session_id).out
    assert all(
        words in text for words in ("placement 1 at alpha answers", "0 of 5", "its own limit of 600 s")
    )
    assert "unless a late report moves it" in " ".join(text.split())


def test_a_doubt_is_told_with_what_would_make_it_a_death(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    world.server.fault("error_before", upstream="alpha", operation="chat", times=1)
    world.jump(MINUTE)
    world.settle()
    told = cli("session", "explain", session_id, "--json").json
    [doubt] = told["doubts"]
    assert doubt.startswith("1 failed pings in a row since ")
    assert doubt.endswith("3 over 60 s are death")
    assert told["because"] == ["the last ping of placement 1 at alpha: TRANSIENT"]
    world.done("session.close", session_id=session_id)
    told = cli("session", "explain", session_id, "--json").json
    assert told["doubts"] == []
    assert told["because"][0].startswith("user, with effect at ")
    assert not told["because"][0].endswith("None")


def test_doubts_of_several_kinds_are_told_with_the_one_bound_that_they_share(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    for fault in ("loading", "throttled"):
        world.server.fault(fault, upstream="alpha", operation="chat", times=1)
        world.jump(MINUTE)
        world.settle()
    doubts = cli("session", "explain", session_id, "--json").json["doubts"]
    [shared] = [doubt for doubt in doubts if doubt.startswith("no proof of life since ")]
    assert shared.endswith(": 3600 s of it are death where the last answer is THROTTLED")


def test_a_stopped_session_tells_who_and_why(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    world.done("session.close", session_id=session_id, reason="operator", detail="maintenance")
    world.pass_time(MINUTE)
    told = cli("session", "explain", session_id, "--json").json
    assert told["stops"] == []
    [because] = told["because"]
    assert because.startswith("operator, with effect at ")
    assert because.endswith(": maintenance")


def test_one_that_waits_tells_for_what(cli: Cli, world: World) -> None:
    for _ in range(2):
        world.run_session()
    session_id = world.create_session(on_quota="queue")
    text = cli("session", "explain", session_id).out
    assert "number 1 in its account's queue and waits for quota_concurrent_exceeded" in text
    assert "queue_timeout" in text


def test_an_unknown_session_is_refused(cli: Cli, world: World) -> None:
    said = cli("session", "explain", "nobody")
    assert (said.code, said.out) == (1, "")
    assert "unknown_session" in said.err
