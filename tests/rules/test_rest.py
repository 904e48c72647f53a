"""An ended row has no further step."""

from orchestrator.rules.sessions.pings import at_rest
from orchestrator.rules.states import Step
from tests.rules.builders import MINUTE, T0, a_running_session


def test_what_is_at_rest_has_no_step_and_no_lease_and_is_otherwise_the_same() -> None:
    busy = a_running_session(
        ping_at=T0,
        warn_at=T0,
        next_step=Step.PING,
        next_step_at=T0,
        lease_token="t",
        leased_at=T0,
        lease_until=T0 + MINUTE,
        attempts=3,
    )
    assert at_rest(busy) == a_running_session()
