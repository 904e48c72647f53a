"""When is the provider at fault, and not its sessions?"""

import pytest

from orchestrator.rules.brake import Health, is_at_fault, is_well_again


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


@pytest.mark.parametrize(
    ("recovered", "still_ill", "wanted", "well"),
    [
        (1, 5, 3, False),
        (2, 4, 3, False),
        (3, 3, 3, True),
        (3, 97, 3, True),
        (1, 2, 3, False),
        (2, 1, 3, True),
        (1, 1, 3, True),
        (1, 0, 3, True),
        (0, 0, 3, False),
        (1, 5, 1, True),
    ],
)
def test_it_is_well_again_once_enough_recovered_or_as_many_as_are_ill(
    recovered: int, still_ill: int, wanted: int, well: bool
) -> None:
    assert is_well_again(recovered, still_ill, wanted) is well
