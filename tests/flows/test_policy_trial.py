"""What a trial foretells is what the engine does once the change is deployed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.client.trial_resources import MOST_SESSIONS
from orchestrator.flows.reports import policy_trial
from orchestrator.flows.reports.policy_trial import facts_of, trial
from orchestrator.rules.values import Plan, Policy
from orchestrator.settings import Configuration, ConfigurationError
from orchestrator.settings.changes import with_changes
from tests.flows.conftest import MakeWorld
from tests.flows.dumps import dump
from tests.world import ALWAYS_ON, HOUR, MINUTE, SECOND, World

ROOMY = {"payg": Plan(name="payg")}
#: Few pings make a long story short.
RARELY_PINGED = Policy(ping_interval_seconds=300)
Findings = Mapping[str, Mapping[str, Any]]


def tried(
    world: World, changes: Mapping[str, Any], *, most_sessions: int = MOST_SESSIONS, **prices: str
) -> dict[str, Any]:
    config = world.services.config
    with world.services.database.reading() as tx:
        facts = facts_of(tx, most_sessions=most_sessions)
    return trial(facts, config, with_changes(config, changes), {one: Decimal(p) for one, p in prices.items()})


def findings(report: Mapping[str, Any]) -> Findings:
    return {one["session_id"]: one for one in report["findings"]}


def deploy(world: World, changes: Mapping[str, Any]) -> None:
    config = with_changes(world.services.config, changes)
    world.services = replace(world.services, config=config)


def at(finding: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(finding["at"])


def _fleet_that_starts(world: World) -> list[str]:
    world.server.fault("dead", operation="chat", upstream="morph")
    ids = []
    for _ in range(2):
        ids.append(world.create_session("moral"))
        world.pass_time(4 * MINUTE)
    lasting = {"max_duration_seconds": 900}
    return [*ids, world.run_session(stop=lasting), world.run_session(stop={"idle_seconds": 600})]


def _fleet_in_doubt(world: World) -> list[str]:
    ids = [world.run_session(), world.run_session("moral"), world.run_session(stop={"idle_seconds": 3600})]
    world.server.fault("dead", operation="chat", upstream="alpha", times=10)
    world.pass_time(31 * SECOND)
    return ids


@pytest.mark.parametrize(
    ("fleet", "changes", "stops"),
    [
        pytest.param(
            _fleet_that_starts, {"policy.start_timeout_seconds": 600}, 2, id="starts that take long"
        ),
        pytest.param(
            _fleet_that_starts,
            {"providers.morph.start_timeout_seconds": 601, "providers.alpha.start_timeout_seconds": 1},
            2,
            id="at one provider",
        ),
        pytest.param(_fleet_that_starts, {"start_timeout_seconds": 3}, 2, id="that have taken too long"),
    ],
)
def test_what_is_foretold_happens_with_the_deploy(
    make_world: MakeWorld, fleet: Callable[[World], list[str]], changes: dict[str, Any], stops: int
) -> None:
    world = make_world(plans=ROOMY, policy=RARELY_PINGED)
    ids = fleet(world)
    before = dump(world)
    report = tried(world, changes)
    assert dump(world) == before, "a trial writes nothing"
    assert report["counts"]["deployed"] == {"stops": stops, "spares": 0, "refuses": 0}
    predicted = {one: at(found) for one, found in findings(report).items() if found["applies"] == "deployed"}
    expected = {one: (world.session(one).ends_at, world.session(one).stop_at_reason) for one in ids}
    deploy(world, changes)
    world.pass_time(30 * MINUTE)
    for one in ids:
        session = world.session(one)
        if one in predicted:
            assert (session.stopped_at, session.stop_reason) == (
                predicted[one],
                findings(report)[one]["reason"],
            )
        else:
            assert (session.stopped_at, session.stop_reason) == expected[one]


def test_a_session_in_doubt_dies_when_it_was_foretold(make_world: MakeWorld) -> None:
    world = make_world(plans=ROOMY)
    doubtful, well = world.run_session("moral"), world.run_session()
    world.server.fault("dead", operation="chat", upstream="morph")
    world.pass_time(35 * SECOND)
    assert world.session(doubtful).failures > 1
    changes = {"dead_after_seconds": 10}
    found = findings(tried(world, changes))
    assert set(found) == {doubtful}
    assert found[doubtful]["condition"]
    deploy(world, changes)
    world.pass_time(5 * MINUTE)
    died = world.session(doubtful)
    assert died.stopped_at is not None
    assert abs(died.stopped_at - at(found[doubtful])) < SECOND, "but for the latency of its pings"
    assert died.stop_reason == "dead"
    assert world.session(well).stopped_at is None


def test_hindsight_is_what_happens_to_those_that_begin_under_it(make_world: MakeWorld) -> None:
    world = make_world(plans=ROOMY, policy=RARELY_PINGED)
    stops: list[dict[str, Any]] = [
        {},
        {"max_duration_seconds": 600},
        {"max_cost": "0.50"},
        {"idle_seconds": 60},
    ]
    before = [world.run_session(stop=stop) for stop in stops]
    began = world.clock.now
    world.pass_time(30 * MINUTE)
    changes = {"plans.payg.max_duration_seconds": 900}
    report = tried(world, changes)
    found = findings(report)
    assert report["counts"]["deployed"]["stops"] == 0, "sessions keep the terms of their beginning"
    deploy(world, changes)
    later = world.clock.now
    after = [world.run_session(stop=stop) for stop in stops]
    world.pass_time(30 * MINUTE)
    for old, new in zip(before, after, strict=True):
        lasted = world.session(new).stopped_at - later  # type: ignore[operator]
        if old in found:
            assert at(found[old]) - began == lasted == 15 * MINUTE
        else:
            assert world.session(old).stopped_at - began == lasted  # type: ignore[operator]
    assert len(found) == 2


def test_a_price_would_have_ended_sessions_and_funds_earlier(make_world: MakeWorld) -> None:
    world = make_world(plans=ROOMY)
    world.open_account("poor", amount="2.40")
    capped = world.run_session(stop={"max_cost": "0.60"})
    poor = world.run_session(account_id="poor")
    world.pass_time(10 * MINUTE)
    found = findings(tried(world, {}, llama="2.40"))
    assert {one: (at(f) - world.clock.now, f["reason"], f["applies"]) for one, f in found.items()} == {
        capped: (5 * MINUTE, "max_cost", "hindsight"),
        poor: (50 * MINUTE, "balance_exhausted", "hindsight"),
    }


def test_a_price_would_have_used_up_a_budget_that_stops_sessions(make_world: MakeWorld) -> None:
    world = make_world(plans=ROOMY)
    budget = {"account_id": "acme", "period": "day", "currency": "USD", "amount": "1.20"}
    world.done("account.budget", **budget, hard_stop=True)
    session_id = world.run_session()
    world.pass_time(10 * MINUTE)
    [found] = findings(tried(world, {}, llama="2.40")).values()
    assert (found["session_id"], at(found) - world.clock.now) == (session_id, 20 * MINUTE)
    assert (found["reason"], found["otherwise_reason"]) == ("budget_exhausted", "budget_exhausted")
    world.done("account.budget", **budget)
    assert findings(tried(world, {}, llama="2.40")) == {}


def test_an_overdraft_that_shrinks_ends_sessions_earlier(make_world: MakeWorld) -> None:
    world = make_world(plans={"payg": Plan(name="payg", overdraft_limit=Decimal(1))})
    world.open_account("poor", amount="0.30")
    ids = {world.run_session(account_id="poor") for _ in range(2)}
    world.pass_time(5 * MINUTE)
    changes = {"plans.payg.overdraft_limit": "0"}
    found = findings(tried(world, changes))
    assert set(found) == ids
    assert {f["applies"] for f in found.values()} == {"deployed"}
    deploy(world, changes)
    world.done("account.credit", account_id="poor", amount="0.000001", currency="USD", key="2")
    world.pass_time(10 * MINUTE)
    assert {one: world.session(one).stopped_at for one in ids} == {one: at(f) for one, f in found.items()}


def test_a_quota_would_have_refused_the_second_session(world: World) -> None:
    first = world.run_session()
    world.pass_time(SECOND)
    second = world.run_session()
    report = tried(world, {"plans.payg.max_concurrent": 1})
    assert {one: (f["effect"], f["reason"]) for one, f in findings(report).items()} == {
        second: ("refuses", "quota_concurrent_exceeded")
    }
    assert first != second
    assert report["counts"]["hindsight"]["refuses"] == 1


def test_deaths_of_the_last_days_are_judged_again(any_world: MakeWorld) -> None:
    """Three failures over a minute killed it: five over two minutes would not have, and two over a second would have
    done so earlier."""
    world = any_world(plans=ROOMY)
    session_id = world.run_session("moral")
    world.pass_time(10 * MINUTE)
    world.done("session.record_interactions", batch=[{"session_id": session_id, "count": 9}])
    world.server.fault("dead", operation="chat", upstream="morph")
    world.pass_time(5 * MINUTE)
    died = world.session(session_id).stopped_at
    assert died is not None
    world.server.clear_faults()
    world.pass_time(2 * MINUTE)
    lenient = findings(tried(world, {"dead_after_seconds": 120}))[session_id]
    assert (lenient["effect"], lenient["otherwise_at"], lenient["otherwise_reason"]) == (
        "spares",
        died.isoformat().replace("+00:00", "Z"),
        "dead",
    )
    assert lenient["interactions"] == {"at_least": 1, "at_most": 9}
    strict = findings(tried(world, {"dead_after_seconds": 1, "dead_after_failures": 2}))[session_id]
    assert strict["effect"] == "stops"
    assert timedelta(0) < died - at(strict) <= MINUTE
    assert findings(tried(world, {"dead_after_failures": 3})) == {}
    world.jump(8 * 24 * HOUR)
    assert findings(tried(world, {"dead_after_seconds": 120})) == {}, (
        "that is longer ago than a trial looks back"
    )


def test_the_rules_as_they_are_change_nothing(make_world: MakeWorld) -> None:
    world = make_world(plans=ROOMY)
    _fleet_in_doubt(world)
    world.pass_time(5 * MINUTE)
    report = tried(world, {"dead_after_failures": 3, "plans.payg.max_sessions": 20}, llama="1.20")
    assert report["findings"] == []
    assert report["sessions"] == 3


def test_a_trial_of_a_large_fleet_says_what_it_did_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        world.run_session()
    assert tried(world, {"dead_after_failures": 1})["complete"] is True
    few = tried(world, {"plans.payg.max_duration_seconds": 60}, most_sessions=1)
    assert (few["complete"], few["sessions"]) == (False, 1)
    assert len(findings(few)) == 1
    monkeypatch.setattr(policy_trial, "EVENTS_OF_EACH", 1)
    report = tried(world, {"dead_after_failures": 1}, most_sessions=3)
    assert (report["complete"], report["sessions"]) == (False, 2)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("policy.dead_after_failuers", 3, "unknown key; did you mean dead_after_failures"),
        ("dead_after_failures", "many", "must be a whole number"),
        ("dead_after_failures", 0, "must be between 1 and"),
        ("ping.dead_after_failures", 5, "cannot be tried"),
        ("plans.gold.max_sessions", 5, "no plan has this name"),
        ("plans.payg.overdraft_limit", "much", "must be money"),
        ("plans.payg", 5, "must be policy.KEY"),
        ("providers.alhpa.dead_after_failures", 5, "no provider has this name; did you mean alpha"),
        ("providers.alpha.base_url", "http://h", "only keys of the policy"),
        ("policy", 5, "unknown key"),
    ],
)
def test_what_cannot_be_tried_is_named(path: str, value: object, said: str) -> None:
    alpha = ALWAYS_ON[0].configured("http://h", Configuration().policy)
    with pytest.raises(ConfigurationError) as refused:
        with_changes(Configuration(providers={"alpha": alpha}), {path: value})
    [fault] = refused.value.faults
    assert said in str(fault)


def test_a_key_that_is_given_under_both_of_its_spellings_is_refused() -> None:
    with pytest.raises(ConfigurationError) as refused:
        with_changes(Configuration(), {"max_placements": 1, "policy.max_placements": 2})
    [fault] = refused.value.faults
    assert "given twice" in str(fault)


def test_a_change_of_the_general_policy_does_not_reach_a_provider_with_its_own() -> None:
    alpha = ALWAYS_ON[0].configured("http://h", Configuration().policy)
    own = replace(alpha, name="own", own_policy=("dead_after_failures",))
    config = Configuration(providers={"alpha": alpha, "own": own})
    changed = with_changes(config, {"dead_after_failures": 7, "providers.own.max_placements": 1})
    found = {
        name: (one.policy.dead_after_failures, one.policy.max_placements)
        for name, one in changed.providers.items()
    }
    assert found == {"alpha": (7, 3), "own": (3, 1)}
    assert changed.policy.dead_after_failures == 7
