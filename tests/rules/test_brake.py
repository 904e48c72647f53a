"""When is the provider at fault, and not its sessions?"""

import pytest

from orchestrator.rules.brake import Choice, Health, choices, is_at_fault
from orchestrator.rules.values import Brake
from tests.rules.builders import MINUTE, T0


@pytest.mark.parametrize(
    ("running", "doubtful", "died", "expected"),
    [
        pytest.param(0, 0, 0, False, id="nothing runs"),
        pytest.param(1, 1, 0, False, id="one alone may just be dead"),
        pytest.param(0, 0, 1, False, id="one alone that died"),
        pytest.param(2, 1, 0, False, id="one of two"),
        pytest.param(2, 2, 0, True, id="both"),
        pytest.param(1, 1, 1, True, id="both, one of them dead already"),
        pytest.param(4, 3, 0, False, id="three of four"),
        pytest.param(4, 4, 0, True, id="all four"),
        pytest.param(6, 3, 0, False, id="half of six"),
        pytest.param(6, 4, 0, True, id="more than half of six"),
        pytest.param(5, 2, 1, False, id="half of six, one dead"),
        pytest.param(5, 3, 1, True, id="more than half of six, one dead"),
        pytest.param(1000, 501, 0, True, id="more than half of many"),
    ],
)
def test_is_the_provider_at_fault(running: int, doubtful: int, died: int, expected: bool) -> None:
    assert is_at_fault(Health(running=running, doubtful=doubtful, died=died)) is expected


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
    assert choices(["a", "b"], brakes) == [Choice(provider=name) for name in expected]


def test_a_key_at_fault_is_avoided_at_first() -> None:
    assert choices(["a", "b"], [a_brake("a", "env:A"), a_brake("b"), a_brake("b", "env:B")]) == [
        Choice(provider="a", avoiding=frozenset({"env:A"})),
        Choice(provider="a"),
        Choice(provider="b"),
    ]
