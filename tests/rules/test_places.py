"""Where a session's next placement goes."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.admission.places import (
    EVERYWHERE,
    REPEATS,
    WELL_SERVED,
    PlaceCandidate,
    attempts,
    failed_at,
    may_free,
    may_serve,
    place_candidates,
    remembered,
    tried_in_vain,
)
from orchestrator.rules.states import PlacementState
from orchestrator.rules.values import Attach, Brake, Placement, RefusedBy
from tests.rules.builders import HOUR, MINUTE, T0, a_placement, a_session


def a_brake(provider: str, credential: str | None = None) -> Brake:
    scope = f"{provider}:{credential}"
    return Brake(
        scope=scope, provider=provider, credential=credential, since=T0, until=T0 + MINUTE, reason="ill"
    )


@pytest.mark.parametrize(
    ("brakes", "expected"),
    [
        pytest.param([], ["a", "b"], id="in the order of preference"),
        pytest.param([a_brake("a")], ["b", "a"], id="what is at fault comes last"),
        pytest.param([a_brake("a"), a_brake("b")], ["a", "b"], id="of several the preferred one"),
        pytest.param([a_brake("c")], ["a", "b"], id="others do not matter"),
    ],
)
def test_where_a_new_placement_goes(brakes: list[Brake], expected: list[str]) -> None:
    assert place_candidates(["a", "b"], brakes) == [PlaceCandidate(provider=name) for name in expected]


def test_a_key_at_fault_is_avoided_at_first() -> None:
    assert place_candidates(["a", "b"], [a_brake("a", "env:A"), a_brake("b"), a_brake("b", "env:B")]) == [
        PlaceCandidate(provider="a", avoiding=frozenset({"env:A"})),
        PlaceCandidate(provider="a"),
        PlaceCandidate(provider="b"),
    ]


def test_a_session_goes_where_it_has_not_been_then_under_another_key_then_back() -> None:
    assert place_candidates(["a", "b"], [], [("a", "env:A")]) == [
        PlaceCandidate(provider="b"),
        PlaceCandidate(provider="a", avoiding=frozenset({"env:A"})),
        PlaceCandidate(provider="a"),
    ]


def test_what_a_brake_holds_comes_after_where_one_session_alone_failed() -> None:
    assert place_candidates(["a", "b", "c"], [a_brake("b"), a_brake("a", "env:B")], [("a", "env:A")]) == [
        PlaceCandidate(provider="c"),
        PlaceCandidate(provider="a", avoiding=frozenset({"env:A", "env:B"})),
        PlaceCandidate(provider="a", avoiding=frozenset({"env:B"})),
        PlaceCandidate(provider="b"),
        PlaceCandidate(provider="a", avoiding=frozenset({"env:A"})),
        PlaceCandidate(provider="a"),
    ]


_PROVIDERS = st.sampled_from("abc")
_KEYS = st.frozensets(st.tuples(_PROVIDERS, st.sampled_from([None, "env:1", "env:2"])))
_BRAKES = st.lists(st.builds(a_brake, _PROVIDERS, st.sampled_from([None, "env:1", "env:2"])))


@given(_KEYS, _BRAKES)
def test_no_provider_is_lost_and_none_is_tried_again_before_all_others(
    keys: frozenset[tuple[str, str | None]], brakes: list[Brake]
) -> None:
    offered = place_candidates(["a", "b", "c"], brakes, keys)
    assert {one.provider for one in offered if not one.avoiding} == {"a", "b", "c"}
    been = {provider for provider, _ in keys}
    unbraked = [one.provider for one in place_candidates(["a", "b", "c"], [], keys)]
    assert set(unbraked[: 3 - len(been)]) == {"a", "b", "c"} - been


@pytest.mark.parametrize(
    ("changes", "ill"),
    [
        pytest.param({}, True, id="it serves until now"),
        pytest.param({"state": PlacementState.NEVER_OPENED, "sent_at": T0}, True, id="its open was lost"),
        pytest.param({"lost_at": T0, "closing_since": T0}, True, id="it died"),
        pytest.param({"refused_by": RefusedBy.CREDENTIAL}, False, id="it was refused"),
        pytest.param({"declared_end_at": T0 + HOUR}, True, id="before its declared end"),
        pytest.param({"declared_end_at": T0 + MINUTE}, False, id="its declared end has come"),
        pytest.param({"declared_end_at": T0 + MINUTE, "closing_since": T0}, True, id="it ended before"),
    ],
)
def test_where_a_session_failed(changes: dict[str, Any], ill: bool) -> None:
    assert failed_at([a_placement(**changes)], T0 + MINUTE) == ({("a", "env:A")} if ill else set())


def served(begin: float, span: timedelta | None, **changes: Any) -> Placement:
    """Return a placement that was created `begin` minutes after the start, and lost after this time of service; None:
    never opened."""
    created = T0 + begin * MINUTE
    if span is None:
        return a_placement(created_at=created, state=PlacementState.NEVER_OPENED, ended_at=created, **changes)
    return a_placement(created_at=created, opened_at=created, lost_at=created + span, **changes)


@pytest.mark.parametrize(
    ("placements", "running_at", "used", "kept"),
    [
        pytest.param([], None, 0, 0, id="nothing was tried"),
        pytest.param([served(0, None), served(1, None)], None, 2, 2, id="it never ran"),
        pytest.param(
            [served(0, None), served(1, None), served(2, MINUTE)], 3, 1, 3, id="refused before it ran"
        ),
        pytest.param([served(0, MINUTE), served(2, MINUTE)], 1, 2, 2, id="it moved once"),
        pytest.param(
            [served(0, MINUTE), served(2, None), served(2, MINUTE)], 1, 3, 3, id="refused as it moved"
        ),
        pytest.param([served(0, MINUTE), served(2, WELL_SERVED)], 1, 1, 1, id="served well after a move"),
        pytest.param(
            [served(0, WELL_SERVED), served(61, MINUTE), served(63, None)],
            1,
            3,
            3,
            id="lost twice since then",
        ),
        pytest.param(
            [served(0, WELL_SERVED - MINUTE), served(60, MINUTE)], 1, 2, 2, id="served for almost so long"
        ),
    ],
)
def test_what_counts_against_the_next_placement(
    placements: list[Placement], running_at: float | None, used: int, kept: int
) -> None:
    now = T0 + 24 * HOUR
    ran = None if running_at is None else T0 + running_at * MINUTE
    assert attempts(placements, ran, now) == used
    assert list(remembered(placements, now)) == placements[len(placements) - kept :]


def test_what_serves_well_now_is_where_it_begins() -> None:
    open_now = a_placement(opened_at=T0, created_at=T0)
    closing = a_placement(opened_at=T0, created_at=T0, closing_since=T0 + MINUTE)
    assert attempts([closing, open_now], T0 + MINUTE, T0 + WELL_SERVED) == 1
    later = a_placement(opened_at=T0 + MINUTE, created_at=T0 + MINUTE)
    assert attempts([closing, later], T0, T0 + WELL_SERVED) == 2


ATTACH = Attach(endpoint_url="https://e", model="m", secret_ref="env:E")


@pytest.mark.parametrize(
    ("asks", "attaches", "max_nodes", "serves"),
    [
        pytest.param({}, False, None, True, id="whatever it asks for"),
        pytest.param({"pinned_provider": "a"}, False, None, True, id="the provider that it asks for"),
        pytest.param({"pinned_provider": "b"}, False, None, False, id="it asks for another"),
        pytest.param({"attach": ATTACH}, True, None, True, id="its endpoint is named"),
        pytest.param({"attach": ATTACH}, False, None, False, id="endpoints cannot be named there"),
        pytest.param({}, True, None, False, id="its endpoint would have to be named"),
        pytest.param({"nodes": 2}, False, 2, True, id="large enough"),
        pytest.param({"nodes": 3}, False, 2, False, id="too small"),
    ],
)
def test_which_providers_can_serve_a_session(
    asks: dict[str, Any], attaches: bool, max_nodes: int | None, serves: bool
) -> None:
    assert may_serve(a_session(**asks), "a", attaches=attaches, max_nodes=max_nodes) is serves


HERE = ("a", "env:A")


@pytest.mark.parametrize(
    ("changes", "times", "opens_anew", "tried"),
    [
        pytest.param({}, 3, {"a"}, set(), id="an open makes something new"),
        pytest.param({}, 1, set(), {HERE}, id="it would be the same endpoint"),
        pytest.param({"refused_by": RefusedBy.CREDENTIAL}, 1, {"a"}, {HERE}, id="its key was refused"),
        pytest.param({"refused_by": RefusedBy.PROVIDER}, 1, {"a"}, {HERE, ("a", EVERYWHERE)}, id="all of it"),
        pytest.param({"orphans_at_most": 1}, REPEATS, {"a"}, set(), id="it failed"),
        pytest.param({"orphans_at_most": 1}, REPEATS + 1, {"a"}, {HERE}, id="it failed too often"),
    ],
)
def test_where_another_attempt_would_be_in_vain(
    changes: dict[str, Any], times: int, opens_anew: set[str], tried: set[tuple[str, str | None]]
) -> None:
    assert tried_in_vain([a_placement(**changes)] * times, opens_anew) == tried


@pytest.mark.parametrize(
    ("exclusive", "providers", "tried", "frees"),
    [
        (True, {"a"}, set(), True),
        (False, {"a"}, set(), False),
        (True, {"b"}, set(), False),
        (True, {"a"}, {HERE}, False),
    ],
)
def test_which_end_frees_a_key_for_the_session(
    exclusive: bool, providers: set[str], tried: set[tuple[str, str | None]], frees: bool
) -> None:
    assert may_free(a_placement(exclusive=exclusive), providers, tried) is frees
