from orchestrator.rules.states import Step
from orchestrator.rules.values import Due
from tests.rules.builders import SECOND, T0


def test_a_step_is_due_from_its_instant_on() -> None:
    due = Due(Step.PING, T0)
    assert [due.has_come(T0 + n * SECOND) for n in (-1, 0, 1)] == [False, True, True]
