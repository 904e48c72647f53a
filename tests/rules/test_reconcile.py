"""Lists against rows: what is adopted, closed, ended, waited for, and left alone."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.rules.reconcile.compare import compare, is_unsure, still_serves, too_many, with_status
from orchestrator.rules.reconcile.lists import (
    Action,
    Difference,
    KnownPlacement,
    ListedResource,
    ReconcileInput,
    ReconcilePolicy,
)
from orchestrator.rules.states import PlacementState
from orchestrator.rules.values import Lease
from tests.rules.builders import HOUR, MINUTE, SECOND, T0, a_placement, a_running_session

POLICY = ReconcilePolicy(
    min_age=5 * MINUTE,
    confirm_after=MINUTE,
    clock_skew=5 * MINUTE,
    resolve_after=10 * MINUTE,
    list_takes=MINUTE,
    names_create=False,
    installation="5f0c0001",
    closes_by_id=True,
)
NAMED = replace(POLICY, names_create=True)
NAME = "5f0c0001-0000-8000-8000-000000000001"
OTHER = "5f0c0001-0000-8000-8000-000000000002"
THEIRS = "5f0c0002-0000-8000-8000-000000000003"
UNTOLD = "5f0c0001-0000-4000-8000-000000000004"


def ours(**changes: Any) -> KnownPlacement:
    """Return a placement that has been open for an hour."""
    plain = KnownPlacement(
        id=NAME, session_id="s", state=PlacementState.OPEN, handle="a", sent_at=T0 - HOUR, opened_at=T0 - HOUR
    )
    return replace(plain, **changes)


def lost(**changes: Any) -> KnownPlacement:
    """Return an open with a lost answer."""
    unknown = {"state": PlacementState.UNKNOWN, "handle": None, "opened_at": None, "sent_at": T0 - MINUTE}
    return ours(**unknown | changes)


def closed(**changes: Any) -> KnownPlacement:
    return ours(**{"state": PlacementState.CLOSED, "ended_at": T0 - HOUR} | changes)


def inputs(*listed: ListedResource, **changes: Any) -> ReconcileInput:
    return replace(ReconcileInput(asked_at=T0, listed=listed, ours=()), **changes)


def found(given: ReconcileInput, policy: ReconcilePolicy = POLICY) -> list[Action]:
    return [finding.action for finding in compare(given, policy)]


SEEN_LONG_AGO = {"x": T0 - HOUR}


@pytest.mark.parametrize(
    ("resource", "policy", "changes", "expected"),
    [
        pytest.param(ListedResource(handle="a"), POLICY, {"ours": [ours()]}, [], id="one of ours"),
        pytest.param(
            ListedResource(handle="A"), POLICY, {"ours": [ours()]}, [], id="written in other letters"
        ),
        pytest.param(
            ListedResource(handle="x"), POLICY, {"ours": [lost(candidate="x")]}, [], id="a candidate of ours"
        ),
        pytest.param(
            ListedResource(handle="x", foreign=True),
            POLICY,
            {"unknown_since": SEEN_LONG_AGO},
            [],
            id="foreign",
        ),
        pytest.param(ListedResource(handle="x"), POLICY, {}, [Action.WAIT], id="seen for the first time"),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"unknown_since": {"x": T0 - 5 * MINUTE}},
            [Action.CLOSE],
            id="seen long enough",
        ),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"unknown_since": {"x": T0 + HOUR}},
            [Action.WAIT],
            id="seen in the future",
        ),
        pytest.param(
            ListedResource(handle="x", ended=True),
            POLICY,
            {"unknown_since": SEEN_LONG_AGO},
            [],
            id="an unknown resource that has ended",
        ),
        pytest.param(
            ListedResource(handle="x", opened_at=T0 - 10 * MINUTE),
            POLICY,
            {},
            [Action.CLOSE],
            id="old by the platform's word",
        ),
        pytest.param(
            ListedResource(handle="x", opened_at=T0 - 9 * MINUTE),
            POLICY,
            {},
            [Action.WAIT],
            id="but for its clock",
        ),
        pytest.param(
            ListedResource(handle="x", opened_at=T0 + HOUR), POLICY, {}, [Action.WAIT], id="from the future"
        ),
        pytest.param(
            ListedResource(handle="x"),
            replace(POLICY, closes_by_id=False),
            {"unknown_since": SEEN_LONG_AGO},
            [Action.REPORT],
            id="nothing closes it by its id",
        ),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"ended": [closed(handle="x")]},
            [Action.CLOSE],
            id="ours, and ended here",
        ),
        pytest.param(
            ListedResource(handle="x", opened_at=T0 - HOUR),
            POLICY,
            {"ended": [closed(handle="x", ended_at=T0 - MINUTE)], "unknown_since": SEEN_LONG_AGO},
            [Action.WAIT],
            id="just closed: lists lag",
        ),
        # an open's outcome is not known: an unknown resource may be its own
        pytest.param(
            ListedResource(handle="x"), POLICY, {"ours": [lost()]}, [Action.WAIT], id="perhaps a lost open's"
        ),
        pytest.param(
            ListedResource(handle="x", opened_at=T0 - HOUR),
            POLICY,
            {"ours": [lost()]},
            [Action.WAIT],
            id="whatever its age",
        ),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"ours": [lost()], "unknown_since": SEEN_LONG_AGO},
            [Action.CLOSE],
            id="seen before that open was sent",
        ),
        pytest.param(
            ListedResource(handle="x", opened_at=T0 - HOUR),
            POLICY,
            {"ours": [lost(sent_at=T0 + 5 * SECOND, state=PlacementState.OPENING, leased=True)]},
            [Action.WAIT],
            id="opened while the list was on its way, by a clock that is slow",
        ),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"ours": [lost(sent_at=T0 - HOUR + 5 * SECOND)], "unknown_since": SEEN_LONG_AGO},
            [Action.ADOPT],
            id="the same, and its answer was lost",
        ),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"ours": [lost(sent_at=T0 - HOUR)]},
            [Action.ADOPT],
            id="that open must show",
        ),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"ours": [lost(sent_at=T0 - HOUR, leased=True)]},
            [Action.WAIT],
            id="it is being resolved",
        ),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"ours": [lost(sent_at=T0 - HOUR), lost(id=OTHER)]},
            [Action.WAIT],
            id="of two it is not known which",
        ),
        pytest.param(
            ListedResource(handle="x"),
            POLICY,
            {"ours": [lost(state=PlacementState.OPENING, sent_at=None)], "unknown_since": SEEN_LONG_AGO},
            [Action.CLOSE],
            id="an open that was never sent",
        ),
        # where sessions have names
        pytest.param(
            ListedResource(handle="x", name=NAME), NAMED, {"ours": [lost()]}, [Action.ADOPT], id="by its name"
        ),
        pytest.param(
            ListedResource(handle="x", name=NAME),
            NAMED,
            {"ours": [lost(leased=True)]},
            [Action.WAIT],
            id="under way",
        ),
        pytest.param(
            ListedResource(handle="x", name=NAME),
            NAMED,
            {"ours": [lost(state=PlacementState.OPENING, sent_at=None)]},
            [Action.WAIT],
            id="about to be sent again",
        ),
        pytest.param(
            ListedResource(handle="x", name=OTHER),
            NAMED,
            {"ours": [lost()], "unknown_since": SEEN_LONG_AGO},
            [Action.CLOSE],
            id="another name than the lost open's",
        ),
        pytest.param(
            ListedResource(handle="x", name=NAME),
            NAMED,
            {"ours": [ours()], "unknown_since": SEEN_LONG_AGO},
            [Action.CLOSE],
            id="a second one under the name of one of ours",
        ),
        pytest.param(
            ListedResource(handle="x", name=NAME),
            NAMED,
            {"ended": [closed(state=PlacementState.NEVER_OPENED, handle=None)]},
            [Action.CLOSE],
            id="it was said never to have opened",
        ),
        pytest.param(
            ListedResource(handle="x", name="playground"),
            NAMED,
            {"unknown_since": SEEN_LONG_AGO},
            [],
            id="made by a person",
        ),
        pytest.param(
            ListedResource(handle="x", name=THEIRS),
            NAMED,
            {"unknown_since": SEEN_LONG_AGO},
            [],
            id="made by another installation",
        ),
        pytest.param(
            ListedResource(handle="x", name=THEIRS),
            NAMED,
            {"ended": [closed(id=THEIRS)], "unknown_since": SEEN_LONG_AGO},
            [Action.CLOSE],
            id="ours, of before the installation's id was lost",
        ),
        pytest.param(
            ListedResource(handle="x", name=OTHER),
            replace(NAMED, installation=None),
            {"unknown_since": SEEN_LONG_AGO},
            [],
            id="nothing was ever opened by this installation",
        ),
        pytest.param(
            ListedResource(handle="x", name=UNTOLD),
            NAMED,
            {},
            [Action.REPORT],
            id="of a release that did not name its installation",
        ),
        pytest.param(
            ListedResource(handle="x", name=UNTOLD, ended=True),
            NAMED,
            {},
            [],
            id="the same, and it has ended",
        ),
        pytest.param(
            ListedResource(handle="x", name=UNTOLD),
            NAMED,
            {"ended": [closed(id=UNTOLD)], "unknown_since": SEEN_LONG_AGO},
            [Action.CLOSE],
            id="the same, of ours, and ended here",
        ),
        pytest.param(
            ListedResource(handle="x", name=UNTOLD),
            NAMED,
            {"ours": [lost(id=UNTOLD)]},
            [Action.ADOPT],
            id="the same, of a lost open of ours",
        ),
        pytest.param(
            ListedResource(handle="x", name=THEIRS),
            POLICY,
            {"unknown_since": SEEN_LONG_AGO},
            [Action.CLOSE],
            id="theirs, where names say nothing",
        ),
        pytest.param(
            ListedResource(handle="x", name="playground"),
            POLICY,
            {},
            [Action.WAIT],
            id="a name that says nothing",
        ),
        pytest.param(
            ListedResource(handle="x"), NAMED, {"ours": [lost()]}, [Action.WAIT], id="without a name"
        ),
    ],
)
def test_what_is_listed_and_not_known(
    resource: ListedResource, policy: ReconcilePolicy, changes: dict[str, Any], expected: list[Action]
) -> None:
    mine = [replace(one, covered=False) for one in changes.pop("ours", [])]
    assert found(inputs(resource, ours=mine, **changes), policy) == expected


@pytest.mark.parametrize(
    ("one", "listed", "since", "expected"),
    [
        pytest.param(ours(), [], None, [Action.WAIT], id="missed for the first time"),
        pytest.param(ours(), [], T0 - MINUTE, [Action.END], id="and a minute later"),
        pytest.param(ours(), [], T0 - 59 * SECOND, [Action.WAIT], id="and too soon after"),
        pytest.param(ours(), [], T0 + MINUTE, [Action.WAIT], id="missed in the future"),
        pytest.param(ours(), [ListedResource(handle="a")], T0 - HOUR, [], id="listed again"),
        pytest.param(
            ours(),
            [ListedResource(handle="a", ended=True)],
            T0 - HOUR,
            [Action.END],
            id="listed as having ended",
        ),
        pytest.param(ours(alive_at=T0 - SECOND), [], T0 - HOUR, [Action.WAIT], id="it has answered since"),
        pytest.param(ours(alive_at=T0 - 2 * HOUR), [], T0 - HOUR, [Action.END], id="it answered before"),
        pytest.param(ours(opened_at=T0 - MINUTE), [], T0 - HOUR, [], id="too young to be listed"),
        pytest.param(ours(opened_at=None), [], T0 - HOUR, [], id="not known since when"),
        pytest.param(ours(covered=False), [], T0 - HOUR, [], id="another key's"),
        pytest.param(ours(state=PlacementState.CLOSING), [], T0 - HOUR, [], id="closed by its own step"),
        pytest.param(lost(), [], T0 - HOUR, [], id="not known whether it opened"),
        pytest.param(ours(handle=None), [], T0 - HOUR, [], id="without a handle"),
    ],
)
def test_what_is_ours_and_not_listed(
    one: KnownPlacement, listed: list[ListedResource], since: Any, expected: list[Action]
) -> None:
    missing = {} if since is None else {"a": since}
    assert found(inputs(*listed, ours=[one], missing_since=missing)) == expected


def test_an_answer_since_makes_the_next_miss_the_first() -> None:
    [finding] = compare(inputs(ours=[ours(alive_at=T0 - SECOND)], missing_since={"a": T0 - HOUR}), POLICY)
    assert (finding.since, finding.missing) == (T0, True)


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        pytest.param(-HOUR, [Action.WAIT], id="an hour slow, so that everything looks old"),
        pytest.param(0 * HOUR, [Action.WAIT], id="right"),
        pytest.param(HOUR, [Action.WAIT], id="an hour fast"),
    ],
)
def test_a_platforms_clock_is_measured_by_what_is_ours(ahead: timedelta, expected: list[Action]) -> None:
    mine = ListedResource(handle="a", opened_at=T0 - HOUR + ahead)
    young = ListedResource(handle="x", opened_at=T0 - 4 * MINUTE + ahead)
    assert found(inputs(mine, young, ours=[ours()])) == expected
    old = replace(young, opened_at=T0 - 5 * MINUTE + ahead)
    assert found(inputs(mine, old, ours=[ours()])) == [Action.CLOSE]


def unknown_resources(count: int, action: Action = Action.CLOSE, **changes: Any) -> list[Difference]:
    return [Difference(action=action, why="", handle=f"x{n}", since=T0, **changes) for n in range(count)]


def refused(findings: list[Difference], seen: ReconcileInput, elsewhere: int = 0, share: float = 0.5) -> bool:
    return too_many(findings, seen, elsewhere=elsewhere, few=2, max_share=share) is not None


@pytest.mark.parametrize(
    ("open_count", "gone", "elsewhere", "expected"),
    [
        pytest.param(10, 5, 0, False, id="half"),
        pytest.param(10, 6, 0, True, id="more than half"),
        pytest.param(2, 2, 0, False, id="few"),
        pytest.param(3, 3, 0, True, id="all three"),
        pytest.param(4, 1, 3, True, id="one of each key"),
        pytest.param(0, 0, 0, False, id="nothing"),
    ],
)
def test_most_of_ours_do_not_end_at_once(open_count: int, gone: int, elsewhere: int, expected: bool) -> None:
    seen = inputs(ours=[ours(handle=f"h{n}") for n in range(open_count)])
    for action in (Action.END, Action.WAIT):
        assert refused(unknown_resources(gone, action, missing=True), seen, elsewhere) is expected
    assert not refused(unknown_resources(gone, missing=True), seen, elsewhere, share=10.0)


@pytest.mark.parametrize(
    ("listed", "strange", "changes", "expected"),
    [
        pytest.param(10, 5, {}, False, id="half"),
        pytest.param(10, 6, {}, True, id="more than half: perhaps our rows are those of an old backup"),
        pytest.param(10, 6, {"certain": True}, False, id="they were ours, and have ended"),
        pytest.param(10, 6, {"action": Action.ADOPT}, False, id="to be adopted"),
        pytest.param(10, 10, {"action": Action.REPORT}, False, id="only to be reported"),
        pytest.param(10, 6, {"action": Action.WAIT}, True, id="young ones count"),
        pytest.param(2, 2, {}, False, id="few"),
    ],
)
def test_most_of_what_is_listed_is_not_closed_at_once(
    listed: int, strange: int, changes: dict[str, Any], expected: bool
) -> None:
    entries = [ListedResource(handle=f"x{n}") for n in range(listed)]
    seen = inputs(*entries, ListedResource(handle="theirs", foreign=True))
    assert refused(unknown_resources(strange, **changes), seen) is expected


INSTANTS = st.one_of(st.none(), st.integers(-7200, 600).map(lambda seconds: T0 + seconds * SECOND))
HANDLES = st.sampled_from(["a", "b", "A", "x", "y"])
RESOURCES = st.builds(
    ListedResource,
    handle=HANDLES,
    name=st.sampled_from([None, NAME, OTHER, THEIRS, UNTOLD, "playground"]),
    opened_at=INSTANTS,
    foreign=st.booleans(),
    ended=st.booleans(),
)
KNOWN = st.builds(
    KnownPlacement,
    id=st.sampled_from([NAME, OTHER]),
    session_id=st.just("s"),
    state=st.sampled_from(PlacementState),
    handle=st.one_of(st.none(), HANDLES),
    candidate=st.one_of(st.none(), HANDLES),
    sent_at=INSTANTS,
    opened_at=INSTANTS,
    ended_at=INSTANTS,
    alive_at=INSTANTS,
    leased=st.booleans(),
    covered=st.booleans(),
)
SINCE = st.dictionaries(HANDLES, st.integers(-7200, 600).map(lambda seconds: T0 + seconds * SECOND))
INPUTS = st.builds(
    ReconcileInput,
    asked_at=st.just(T0),
    listed=st.lists(RESOURCES, max_size=4, unique_by=lambda resource: resource.handle.casefold()),
    ours=st.lists(KNOWN, max_size=3),
    ended=st.lists(KNOWN, max_size=2),
    unknown_since=SINCE,
    missing_since=SINCE,
)


@settings(deadline=None)
@given(INPUTS, st.sampled_from([POLICY, NAMED]))
def test_nothing_healthy_is_ever_touched(seen: ReconcileInput, policy: ReconcilePolicy) -> None:
    shown = {resource.handle.casefold() for resource in seen.listed if not resource.ended}
    for finding in compare(seen, policy):
        assert finding.since <= T0
        if finding.action is Action.CLOSE:
            assert finding.resource is not None
            assert not finding.resource.foreign
            assert finding.handle.casefold() not in {(one.handle or "").casefold() for one in seen.ours}
        if finding.action is Action.END:
            assert finding.handle.casefold() not in shown
            assert T0 - finding.since >= policy.confirm_after
            [*own] = [one for one in seen.ours if one.handle == finding.handle and one.covered]
            assert any(one.alive_at is None or one.alive_at < finding.since for one in own)


@settings(deadline=None)
@given(INPUTS, st.sampled_from([POLICY, NAMED]))
def test_each_entry_is_found_once_at_most(seen: ReconcileInput, policy: ReconcilePolicy) -> None:
    strange = [finding.handle for finding in compare(seen, policy) if not finding.missing]
    assert len(strange) == len(set(strange))


# decided again


@pytest.mark.parametrize(
    ("said", "is_over", "action", "why"),
    [
        (None, False, Action.WAIT, "missing; nothing more could be asked"),
        ("running", False, Action.WAIT, "missing, but its status does not say so: running"),
        ("stopped", True, Action.END, "missing, and its status: stopped"),
    ],
)
def test_a_session_ends_only_where_its_own_status_says_so(
    said: str | None, is_over: bool, action: Action, why: str
) -> None:
    finding = Difference(action=Action.END, why="missing", handle="a", since=T0)
    asked = with_status(finding, said, is_over=is_over, expired=is_over)
    assert asked == replace(finding, action=action, why=why, expired=is_over)


@pytest.mark.parametrize(
    ("changes", "unsure"),
    [
        pytest.param({}, True, id="its answer was lost"),
        pytest.param({"lease": Lease("t", T0)}, True, id="a call ended without one"),
        pytest.param({"lease": Lease("t", T0 + SECOND)}, False, id="a call is under way"),
        pytest.param({"sent_at": None}, False, id="it was not sent"),
        pytest.param({"state": PlacementState.OPEN}, False, id="it is open"),
    ],
)
def test_which_opens_a_listed_resource_may_resolve(changes: dict[str, Any], unsure: bool) -> None:
    placement = a_placement(**{"state": PlacementState.UNKNOWN, "sent_at": T0 - MINUTE} | changes)
    assert is_unsure(placement, T0) is unsure


@pytest.mark.parametrize(
    ("changes", "alive_at", "serves"),
    [
        ({}, None, True),
        ({}, T0, True),
        ({}, T0 + SECOND, False),
        ({"handle": "b"}, None, False),
        ({"state": PlacementState.CLOSING}, None, False),
    ],
)
def test_what_has_answered_or_changed_since_the_list_does_not_end(
    changes: dict[str, Any], alive_at: datetime | None, serves: bool
) -> None:
    finding = Difference(action=Action.END, why="missing", handle="a", since=T0)
    session = a_running_session(last_alive_at=alive_at)
    assert still_serves(session, a_placement(**{"handle": "a"} | changes), finding) is serves
