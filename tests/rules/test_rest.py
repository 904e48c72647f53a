"""An ended row has no further step."""

from orchestrator.rules.sessions.pings import at_rest
from orchestrator.rules.states import Step
from orchestrator.rules.values import Due, Lease
from tests.rules.builders import MINUTE, T0, a_running_session


def test_what_is_at_rest_has_no_step_and_no_lease_and_is_otherwise_the_same() -> None:
    busy = a_running_session(
        ping_at=T0,
        warn_at=T0,
        due=Due(Step.PING, T0),
        lease=Lease("t", T0 + MINUTE, T0),
        attempts=3,
    )
    assert at_rest(busy) == a_running_session()
