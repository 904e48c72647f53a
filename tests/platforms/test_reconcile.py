"""Lists against rows, at every platform that lists: sessions of ours are adopted or closed, sessions that are gone
there end, and no list, however wrong, ends a healthy one."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.flows.engine.services import Services
from orchestrator.flows.reconcile.reconcile_due import reconcile, reconcile_due
from orchestrator.flows.reconcile.reports import ReconcileOptions, ReconcileReport
from orchestrator.flows.reports import leftovers
from orchestrator.rules.reconcile.installations import placement_id
from orchestrator.rules.reconcile.lists import Action
from orchestrator.rules.states import PlacementState, State, Step, StopReason
from orchestrator.rules.values import Policy
from orchestrator.settings import SecretStore
from tests.drivers import MODEL, PLATFORMS, PlatformUnderTest, platform_of
from tests.flows.hands import Hands
from tests.platforms.conftest import MakeWorld
from tests.platforms.world import PlatformWorld
from tests.world import HOUR, MINUTE, SECOND

LISTING = [platform for platform in PLATFORMS if platform.card.status.can_list]
at_each = pytest.mark.parametrize("platform", LISTING, ids=lambda platform: platform.name)
NODE = platform_of("morpheus-node")
TEMPLATE = platform_of("fpt-template")
DUE = 15 * MINUTE
"""Longer than any guard."""
QUIET = Policy(ping_interval_seconds=7200)
"""With this, only the list shows an end."""


def look(world: PlatformWorld, worker: Services | None = None, **options: Any) -> ReconcileReport:
    """Run an operator's reconcile; return its report."""
    [report] = reconcile(worker or world.services, ReconcileOptions(**options))
    return report


def kinds(report: ReconcileReport) -> list[tuple[Action, bool]]:
    return [(one.finding.action, one.done) for one in report.outcomes]


def open_unknown(world: PlatformWorld, name: str, label: str | None = None) -> str:
    """Open a session there, by hand or from elsewhere."""
    simulator, open_at_platform = world.server.simulator, world.platforms[name].open_at_platform
    return world.server._on_loop(lambda: open_at_platform(simulator, name, f"sk-{name}-1", label))


def open_there(world: PlatformWorld) -> set[str]:
    return {one.id for one in world.server.open_sessions()}


def orphans(world: PlatformWorld) -> Sequence[dict[str, Any]]:
    with world.services.database.reading() as tx:
        return leftovers.orphans(tx, world.clock.now)


def dump(world: PlatformWorld) -> list[Any]:
    """Return everything that a dry run might have written."""
    tables = ("sessions", "placements", "sightings", "outbox", "leases", "credentials")
    with world.services.database.reading() as tx:
        return [tx.connection.exec_driver_sql(f"SELECT * FROM {name}").all() for name in tables]


@at_each
def test_a_list_that_agrees_changes_nothing(platform: PlatformUnderTest, make_platforms: MakeWorld) -> None:
    world = make_platforms(platform)
    session_id = world.run_at(platform.name)
    world.pass_time(DUE)
    report = look(world)
    assert (report.listed, kinds(report), report.is_wrong) == (1, [], False)
    assert world.session(session_id).state is State.RUNNING


@at_each
def test_what_lives_there_after_its_end_here_is_closed_with_proof(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform)
    session_id = world.run_at(platform.name)
    placement = world.placement(session_id)
    force = {"reason": "operator", "force": True, "by": "ann", "detail": "it seemed dead"}
    world.server.fault("close_fails" if platform is NODE else "error_before", operation="close")
    world.done("session.close", session_id=session_id, **force)
    world.settle()
    assert world.session(session_id).state is State.STOPPED
    assert kinds(look(world)) == [(Action.WAIT, False)], "lists lag: it has just ended here"
    world.pass_time(DUE)
    assert kinds(look(world)) == [(Action.CLOSE, True)]
    world.pass_time(MINUTE)
    [orphan] = orphans(world)
    assert (orphan["handle"], orphan["attempts"] > 2) == (placement.handle, True), "retried as every close"
    assert kinds(look(world)) == [], "it is known now"
    assert "orphan_unproven" in world.events(platform.name)
    world.server.clear_faults()
    world.pass_time(DUE)
    assert orphans(world) == []
    assert open_there(world) == set()
    assert world.events(platform.name) == ["orphan_found", "orphan_unproven", "orphan_closed"]
    assert len(world.placements(session_id)) == 1


@at_each
def test_an_unknown_resource_is_closed_once_it_is_certainly_old_enough(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform)
    session_id = world.run_at(platform.name)
    world.pass_time(DUE)
    unknown = world.with_database(lambda tx: tx.installation.new_placement_id())
    handle = open_unknown(world, platform.name, platform.name_there(unknown))
    assert kinds(look(world)) == [(Action.WAIT, False)]
    world.pass_time(4 * MINUTE)
    assert kinds(look(world)) == [(Action.WAIT, False)]
    world.pass_time(DUE)
    assert kinds(look(world)) == [(Action.CLOSE, True)]
    world.settle()
    assert handle not in open_there(world)
    assert world.session(session_id).state is State.RUNNING
    assert world.events(platform.name) == ["orphan_found", "orphan_closed"]


@at_each
def test_what_another_providers_rows_stand_for_is_none_of_ours(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    """A provider was renamed in the configuration, or two of them share one account."""
    world = make_platforms(platform)
    world.run_at(platform.name)
    before = open_there(world)
    with world.services.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE placements SET provider = 'by its old name'")
    for _ in range(2):
        world.clock.now += DUE
        report = look(world)
        assert (report.listed, kinds(report), report.is_wrong) == (1, [], False)
    with world.services.database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE placements SET provider = '{platform.name}'")
    world.pass_time(MINUTE)
    assert open_there(world) == before


@pytest.mark.parametrize("platform", [platform_of("sesterce"), TEMPLATE], ids=lambda one: one.name)
def test_what_a_person_made_by_hand_is_reported_by_its_name_and_never_touched(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform)
    handle = open_unknown(world, platform.name, "playground of the data team")
    for _ in range(3):
        world.pass_time(DUE)
        report = look(world)
        assert (report.listed, kinds(report), report.is_wrong) == (1, [], False)
    assert open_there(world) == {handle}


@pytest.mark.parametrize("platform", [platform_of("sesterce"), TEMPLATE], ids=lambda one: one.name)
def test_what_another_installation_opened_under_the_same_account_is_never_touched(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform, policy=QUIET)
    world.run_at(platform.name)
    before = open_there(world)
    theirs = {
        open_unknown(world, platform.name, platform.name_there(placement_id("0badcafe", n))) for n in range(3)
    }
    for _ in range(3):
        world.pass_time(2 * HOUR)
        report = look(world)
        assert (report.listed, kinds(report), report.is_wrong) == (4, [], False)
    assert open_there(world) == before | theirs


@pytest.mark.parametrize("platform", [platform_of("sesterce"), TEMPLATE], ids=lambda one: one.name)
def test_what_a_release_opened_that_said_not_whose_it_is_is_reported_and_never_touched(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform, policy=QUIET)
    session_id = world.run_at(platform.name)
    unmarked = [f"5f0c0001-0000-4000-8000-00000000000{n}" for n in range(4)]
    theirs = {open_unknown(world, platform.name, platform.name_there(one)) for one in unmarked}
    for _ in range(3):
        world.pass_time(2 * HOUR)
        report = look(world)
        assert (report.refused, kinds(report), report.is_wrong) == (None, [(Action.REPORT, False)] * 4, True)
    assert open_there(world) > theirs
    assert world.session(session_id).state is State.RUNNING


@pytest.mark.parametrize("platform", [platform_of("sesterce"), TEMPLATE], ids=lambda one: one.name)
def test_a_lost_open_is_adopted_by_its_name_before_its_time(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform)
    world.fault_at(platform.name, "cut_after_effect", platform.open_operation, times=1)
    session_id = world.create_at(platform.name)
    world.settle()
    assert world.placement(session_id).state is PlacementState.UNKNOWN
    assert kinds(look(world)) == [(Action.ADOPT, True)]
    world.settle()
    assert world.session(session_id).state is State.RUNNING
    assert world.server.report().opens == 1
    assert orphans(world) == []


@pytest.mark.parametrize("ahead", [timedelta(0), -2 * HOUR, 2 * HOUR], ids=["right", "slow", "fast"])
def test_while_an_outcome_is_unknown_an_unknown_resource_may_be_its_own_whatever_the_clocks_say(
    ahead: timedelta, make_platforms: MakeWorld
) -> None:
    world = make_platforms(replace(NODE, options={**NODE.options, "clock_skew_seconds": 3 * 3600}))
    world.clock.platforms_are_ahead = ahead
    world.fault_at(NODE.name, "cut_after_effect", "open", times=1)
    session_id = world.create_at(NODE.name)
    world.settle()
    for _ in range(3):
        assert kinds(look(world)) == [(Action.WAIT, False)]
        world.pass_time(3 * MINUTE)
    world.pass_time(2 * MINUTE)
    assert world.session(session_id).state is State.RUNNING, "its own resolve has found it"
    assert (kinds(look(world)), len(open_there(world))) == ([], 1)


@pytest.mark.parametrize("ahead", [timedelta(0), -2 * HOUR, 2 * HOUR], ids=["right", "slow", "fast"])
def test_a_platforms_clock_makes_no_unknown_resource_old(ahead: timedelta, make_platforms: MakeWorld) -> None:
    world = make_platforms(NODE)
    world.clock.platforms_are_ahead = ahead
    world.run_at(NODE.name)
    open_unknown(world, NODE.name)
    assert kinds(look(world)) == [(Action.WAIT, False)]
    world.pass_time(4 * MINUTE)
    assert kinds(look(world)) == [(Action.WAIT, False)]


@at_each
def test_what_is_gone_there_ends_though_nobody_pings(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform, policy=QUIET)
    session_id = world.run_at(platform.name)
    world.pass_time(DUE)
    world.end_there(session_id, "forgotten")
    assert kinds(look(world)) == [(Action.WAIT, False)], "a list may lag"
    world.pass_time(MINUTE)
    assert kinds(look(world)) == [(Action.END, True)]
    world.settle()
    session = world.session(session_id)
    assert (session.state, session.stop_reason) == (State.STOPPED, StopReason.DEAD)
    assert "it is no longer in the list" in (session.stop_detail or "")
    assert session.stopped_at == world.clock.now


def test_with_failover_it_moves_on(make_platforms: MakeWorld) -> None:
    world = make_platforms(NODE, TEMPLATE, policy=QUIET)
    world.put_model("pair", {NODE.name: MODEL, TEMPLATE.name: MODEL})
    session_id = world.create_session("pair", failover=True)
    world.settle()
    world.pass_time(DUE)
    world.end_there(session_id, "forgotten")
    reconcile(world.services, ReconcileOptions())
    world.pass_time(MINUTE)
    reconcile(world.services, ReconcileOptions(), NODE.name)
    world.settle()
    session = world.session(session_id)
    assert (session.state, len(world.placements(session_id))) == (State.RUNNING, 2)
    assert "failed_over" in world.events(session_id)


@at_each
@pytest.mark.parametrize("many", [1, 3])
def test_a_list_that_is_empty_ends_nothing_that_answers(
    platform: PlatformUnderTest, many: int, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform)
    running = world.run_many_at(platform.name, many)
    world.pass_time(DUE)
    world.fault_at(platform.name, "empty_list", "list")
    for _ in range(4):
        report = look(world)
        assert report.listed == 0
        assert all(not done for _, done in kinds(report))
        world.pass_time(2 * MINUTE)
    assert {world.session(one).state for one in running} == {State.RUNNING}


def test_most_of_a_providers_sessions_never_end_at_once_but_by_an_operators_word(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(NODE, policy=QUIET)
    running = world.run_many_at(NODE.name, 3)
    world.pass_time(DUE)
    for session_id in running:
        world.end_there(session_id, "forgotten")
    for _ in range(3):
        report = look(world)
        assert report.refused == "3 of 3 live sessions are missing from its lists"
        assert (report.is_wrong, [done for _, done in kinds(report)]) == (True, [False] * 3)
        world.pass_time(5 * MINUTE)
    assert world.events(NODE.name) == ["reconcile_refused"], "one alarm an hour"
    assert {world.session(one).state for one in running} == {State.RUNNING}
    assert kinds(look(world, max_share=1.0)) == [(Action.END, True)] * 3
    world.settle()
    assert {world.session(one).stop_reason for one in running} == {StopReason.DEAD}


def test_many_unknown_resources_may_mean_that_our_rows_are_old(make_platforms: MakeWorld) -> None:
    world = make_platforms(NODE)
    for _ in range(3):
        open_unknown(world, NODE.name)
    look(world)
    world.pass_time(DUE)
    refused = look(world)
    assert refused.refused == "3 of the 3 that it lists are not known here"
    assert (len(open_there(world)), orphans(world)) == (3, [])
    assert kinds(look(world, max_share=1.0)) == [(Action.CLOSE, True)] * 3
    world.pass_time(MINUTE)
    assert (open_there(world), orphans(world)) == (set(), [])


def test_a_young_session_is_not_missed_by_a_list_that_lags(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(NODE, upstream={"list_lag_seconds": 120}), policy=QUIET)
    session_id = world.run_at(NODE.name)
    for _ in range(4):
        report = look(world)
        assert kinds(report) == []
        world.pass_time(MINUTE)
    assert world.session(session_id).state is State.RUNNING


def test_a_status_that_contradicts_the_list_is_believed(make_platforms: MakeWorld) -> None:
    world = make_platforms(NODE, policy=QUIET)
    session_id = world.run_at(NODE.name)
    world.pass_time(DUE)
    world.fault_at(NODE.name, "empty_list", "list")
    look(world)
    world.pass_time(MINUTE)
    [outcome] = look(world).outcomes
    assert (outcome.finding.action, outcome.done) == (Action.WAIT, False)
    assert "its status does not say so" in outcome.finding.why
    world.fault_at(NODE.name, "error_before", "status")
    assert kinds(look(world)) == [(Action.WAIT, False)], "nor one that cannot be had"
    assert world.session(session_id).state is State.RUNNING


@at_each
@pytest.mark.parametrize("fault", ["dead", "unauthorized", "error_before", "html", "invalid_json"])
def test_a_list_that_fails_decides_nothing(
    platform: PlatformUnderTest, fault: str, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform, policy=QUIET)
    session_id = world.run_at(platform.name)
    world.pass_time(DUE)
    world.end_there(session_id, "forgotten")
    look(world)
    world.pass_time(MINUTE)
    before = dump(world)[:4]
    world.fault_at(platform.name, fault, "list")
    report = look(world)
    assert report.problem is not None
    assert (report.is_wrong, report.outcomes) == (True, ())
    assert dump(world)[:4] == before


@at_each
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    platform: PlatformUnderTest, make_platforms: MakeWorld
) -> None:
    world = make_platforms(platform, policy=QUIET)
    gone, well = world.run_many_at(platform.name, 2)
    world.pass_time(DUE)
    world.end_there(gone, "forgotten")
    look(world)
    unknown = world.with_database(lambda tx: tx.installation.new_placement_id())
    open_unknown(world, platform.name, platform.name_there(unknown))
    world.pass_time(DUE)
    before = dump(world)
    report = look(world, dry_run=True)
    assert sorted(kinds(report)) == [(Action.CLOSE, False), (Action.END, False)]
    assert dump(world) == before
    assert world.session(well).state is State.RUNNING
    assert len(open_there(world)) == 2


def test_two_workers_look_at_a_key_one_at_a_time_and_once_an_interval(make_platforms: MakeWorld) -> None:
    world = make_platforms(NODE)
    other = world.another_worker()
    first, second = reconcile_due(world.services), reconcile_due(other)
    assert (first.claimed, second.claimed) == (1, 0)
    world.jump(5 * MINUTE - SECOND)
    reconciled = reconcile_due(other)
    assert reconciled.claimed == 0
    world.jump(SECOND)
    first, second = reconcile_due(other), reconcile_due(world.services)
    assert (first.claimed, second.claimed) == (1, 0)
    hold = f"reconcile:{NODE.name}:{NODE.refs[0]}"
    world.with_database(lambda tx: tx.leases.hold(hold, "somebody", tx.now(), 300))
    assert look(world).problem == "another worker does it now"
    world.jump(5 * MINUTE)
    assert look(world).problem is None, "a dead process holds it no longer than its lease"


def test_no_list_is_asked_for_under_a_key_that_was_asked_to_wait(make_platforms: MakeWorld) -> None:
    world = make_platforms(TEMPLATE)
    world.run_at("fpt-template")
    text = "Too many requests for this API key"
    world.fault_at("fpt-template", "throttled", times=1, retry_after=600, text=text)
    world.pass_time(MINUTE)
    reconciled = reconcile_due(world.services)
    assert reconciled.claimed == 0
    world.pass_time(10 * MINUTE)
    reconciled = reconcile_due(world.services)
    assert reconciled.claimed == 1


def test_what_two_find_at_once_is_one_orphan(make_platforms: MakeWorld) -> None:
    """One has slept past its lease, and comes back with its findings."""
    from orchestrator.flows.reconcile.apply_differences import carry_out

    world = make_platforms(NODE)
    open_unknown(world, NODE.name)
    look(world)
    world.pass_time(DUE)
    [found] = look(world, dry_run=True).outcomes
    ref = NODE.refs[0]
    done = [carry_out(world.another_worker(), NODE.name, ref, found.finding) for _ in range(2)]
    assert (done, len(orphans(world))) == ([True, False], 1)


def test_what_has_answered_or_ended_meanwhile_is_not_ended_by_an_old_list(make_platforms: MakeWorld) -> None:
    from orchestrator.flows.reconcile.apply_differences import carry_out

    world = make_platforms(NODE, policy=QUIET)
    answered, closed = world.run_many_at(NODE.name, 2)
    world.pass_time(DUE)
    for session_id in (answered, closed):
        world.end_there(session_id, "forgotten")
    look(world)
    world.pass_time(MINUTE)
    found = {one.finding.session_id: one.finding for one in look(world, dry_run=True).outcomes}
    world.done("session.record_interactions", batch=[{"session_id": answered, "count": 1}])
    world.done("session.close", session_id=closed)
    done = [carry_out(world.services, NODE.name, NODE.refs[0], found[one]) for one in (answered, closed)]
    assert done == [False, False]
    assert world.session(answered).state is State.RUNNING
    assert world.session(closed).stop_reason is StopReason.USER


def test_a_worker_without_the_secret_leaves_the_key_to_others(make_platforms: MakeWorld) -> None:
    world = make_platforms(NODE)
    poor = replace(world.another_worker(), secrets=SecretStore({}))
    reconciled = reconcile_due(poor)
    assert reconciled.claimed == 0
    assert "cannot resolve its secret" in (look(world, poor).problem or "")
    reconciled = reconcile_due(world.services)
    assert reconciled.claimed == 1


def test_a_list_under_one_key_says_nothing_of_anothers(make_platforms: MakeWorld) -> None:
    world = make_platforms(replace(TEMPLATE, keys=2), policy=QUIET)
    for ref in ("env:FPT_TEMPLATE_1", "env:FPT_TEMPLATE_2"):
        world.run_at(TEMPLATE.name, credential=ref)
    for _ in range(3):
        world.pass_time(DUE)
        reports = reconcile(world.services, ReconcileOptions())
        assert [(one.listed, kinds(one)) for one in reports] == [(1, []), (1, [])]


def test_a_new_secret_under_the_same_reference_says_nothing_of_the_old_ones_sessions(
    make_platforms: MakeWorld,
) -> None:
    world = make_platforms(replace(TEMPLATE, keys=2), policy=QUIET)
    session_id = world.run_at(TEMPLATE.name)
    ref = (world.placement(session_id).credential or "").removeprefix("env:")
    other = next(name for name in world.secrets if name != ref)
    swapped = replace(world.services, secrets=SecretStore({ref: world.secrets[other], other: ""}))
    for _ in range(3):
        world.pass_time(DUE)
        assert all(
            kinds(one) == []
            for one in reconcile(swapped, ReconcileOptions())
            if one.credential == f"env:{ref}"
        )
    assert world.session(session_id).state is State.RUNNING


def test_the_brake_of_pings_does_not_hold_what_the_list_confirms(make_platforms: MakeWorld) -> None:
    world = make_platforms(NODE)
    running = world.run_many_at(NODE.name, 4)
    world.pass_time(DUE)
    world.end_there(running[0], "forgotten")
    world.fault_at(NODE.name, "error_before", "chat")
    world.fault_at(NODE.name, "error_before", "status")
    world.pass_time(2 * MINUTE)
    assert "braked" in world.events(NODE.name)
    look(world)
    world.pass_time(MINUTE)
    world.server.clear_faults()
    world.fault_at(NODE.name, "error_before", "chat")
    assert kinds(look(world)) == [(Action.END, True)]
    assert world.session(running[0]).stop_reason is StopReason.DEAD
    assert {world.session(one).state for one in running[1:]} == {State.RUNNING}


def test_a_late_worker_leaves_an_orphan_and_the_list_finds_it_only_once(make_platforms: MakeWorld) -> None:
    world = make_platforms(TEMPLATE)
    session_id = world.create_at(TEMPLATE.name)
    slow = Hands(world.another_worker())
    claimed = slow.claim_one(Step.OPEN)
    world.done("session.close", session_id=session_id)
    world.pass_time(DUE)
    assert world.session(session_id).state is State.STOPPED
    slow.act(claimed)  # its answer is lost with the worker
    assert kinds(look(world)) == [(Action.CLOSE, True)], "its name is that of an open that never was"
    assert kinds(look(world)) == []
    world.settle()
    assert (open_there(world), orphans(world)) == (set(), [])
