"""After any life, and at any time of its archive, every number that an account shows stays as it was."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from orchestrator.rules.installation.retention import SessionRetention
from tests.lives import play_lives, too_rare
from tests.money.archiving import LEAVING, archive_for_a_moment
from tests.money.conftest import staged
from tests.money.machine import MoneyMachine
from tests.money.platforms import Mood
from tests.money.stage import HOUR

SOME = settings(
    max_examples=3,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


class ArchivingMachine(MoneyMachine):
    """The machine of money, in which all ended sessions may be archived at any time."""

    @rule(retention=st.sampled_from(LEAVING))
    def archive(self, retention: SessionRetention) -> None:
        self.counts[retention] += archive_for_a_moment(self.stage.services, retention)

    def teardown(self) -> None:
        """End each life, and archive it."""
        for driver in self.stage.drivers.values():
            driver.mood = Mood.WELL
        for session_id in list(self.history.read_rows().sessions):
            self.send("session.close", session_id=session_id)
        self.pass_time(HOUR)
        for retention in LEAVING:
            self.counts[retention] += archive_for_a_moment(self.stage.services, retention)
        super().teardown()


@pytest.mark.timeout(900)
def test_no_number_changes_whatever_is_archived_at_whatever_time(
    sqlite_url: str, pytestconfig: pytest.Config
) -> None:
    counts = Counter[str]()
    with staged(sqlite_url) as (stage, history):
        here = {"stage": stage, "history": history, "counts": counts}
        machine = type("ArchivingHere", (ArchivingMachine,), here)
        play_lives(machine, SOME, lambda: too_rare(counts, dict.fromkeys(LEAVING, 1)), pytestconfig)
