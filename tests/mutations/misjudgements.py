"""Defects of decisions: healthy sessions are ended, or unknown ones are left alone."""

from collections.abc import Sequence

from tests.mutations.kinds import HEALTHY, LEAKS, Defect, Edit, story

MISJUDGEMENTS: Sequence[Defect] = (
    Defect(
        name="one-ping-kills",
        what="a single failed ping ends a session, and calls that an end that its provider had declared",
        edits=[
            Edit(
                within="_end",
                beside="after_ping",
                sound="session.declared_end_at is not None and now >= session.declared_end_at",
                broken="True",
            ),
            Edit(
                within="_failing",
                beside="after_ping",
                sound="session.failures >= policy.dead_after_failures and seconds >= policy.dead_after_seconds",
                broken="session.failures >= 1",
            ),
        ],
        found_by=story("stumbles, at node"),
        found_as=HEALTHY,
    ),
    Defect(
        name="streak-never-ends",
        what="failed pings add up, however many good ones come in between",
        edits=[
            Edit(
                within="_streak",
                sound="return 0, None",
                broken="return session.failures, session.failing_since",
            ),
        ],
        found_by=story("stumbles, at alpha"),
        found_as=HEALTHY,
    ),
    Defect(
        name="groups-forget-a-block",
        what="of many sessions, the block that each has begun is not counted",
        edits=[
            Edit(
                within="Group.spent_at",
                sound="Fraction(ran, self.block) + self.sessions",
                broken="Fraction(ran, self.block)",
            ),
        ],
        found_by=("pytest", "tests/rules/test_groups.py"),
        found_as="test_no_more_is_uncharged_than_groups_tell",
    ),
    Defect(
        name="hold-is-billed",
        what="who is found dead after a hold pays for the hold",
        edits=[
            Edit(
                within="paid_until",
                sound="min(session.last_alive_at, now)",
                broken="now",
            ),
        ],
        found_by=("pytest", "tests/flows/test_brake.py", "-k", "cost_nothing_beyond and sqlite"),
        found_as="test_after_a_hold_the_dead_cost_nothing_beyond_their_last_proof_of_life[sqlite]",
    ),
    Defect(
        name="verdicts-take-turns",
        what="each kind of doubt begins the bound again, so that a session which is never well never ends",
        edits=[
            Edit(
                within="note_ping",
                sound="session.not_well_since or now",
                broken="now",
            ),
        ],
        found_by=("pytest", "tests/rules/test_streaks.py", "-k", "take_turns"),
        found_as="test_verdicts_that_take_turns_end_within_the_one_bound",
    ),
    Defect(
        name="full-file-table-is-a-failed-ping",
        what="a ping for which no file descriptor was free counts as one that failed",
        edits=[
            Edit(
                within="OF_ERRNO",
                sound="errno.EMFILE",
                broken="errno.ENFILE",
            ),
        ],
        found_by=("pytest", "tests/providers/test_local_faults.py", "-k", "test_a_full_file_table_is_ours"),
        found_as="test_a_full_file_table_is_ours",
    ),
    Defect(
        name="decode-error-requeues",
        what="a message that cannot be decoded goes back to its queue, and comes again for ever",
        edits=[
            Edit(
                within="GuardedConsumer.refuse",
                sound="message.reject_log_error(log, self.connection_errors, requeue=False)",
                broken="message.reject_log_error(log, self.connection_errors, requeue=True)",
            ),
        ],
        found_by=("pytest", "tests/processes/test_messages.py", "-k", "test_every_shape_of_a_wrong_message"),
        found_as="test_every_shape_of_a_wrong_message_is_parked_and_the_worker_goes_on",
    ),
    Defect(
        name="wake-up-expires-by-wall-clock",
        what="a wake-up carries an expiry, so that a worker with a clock that is ahead discards every one",
        edits=[
            Edit(
                within="WakeUps.send",
                sound="self._app.send_task(name, queue=queue, ignore_result=True, retry=False)",
                broken="self._app.send_task(name, queue=queue, ignore_result=True, retry=False, expires=60)",
            ),
        ],
        found_by=("pytest", "tests/processes/test_waker.py", "-k", "test_a_wake_up_compares_no_clocks"),
        found_as="test_a_wake_up_compares_no_clocks",
    ),
    Defect(
        name="doubted-clock-goes-on",
        what="the store's clock is noticed to have jumped, but its time is used anyway",
        edits=[
            Edit(
                within="compared",
                sound="trust.at(reading.after)",
                broken="reading.raw",
            ),
        ],
        found_by=("pytest", "tests/flows/test_clock_jumps.py", "-x", "-k", "test_sessions_run_on_are_pinged"),
        found_as="test_sessions_run_on_are_pinged_and_stop_at_their_own_instants",
    ),
    Defect(
        name="no-look-without-a-bell",
        what="a runner waits for its bell for ever: without messages nothing is done",
        edits=[
            Edit(
                within="Runner._run",
                sound="pause_of(self._tick, random.uniform(-1, 1))",
                broken="1e6",
            ),
        ],
        found_by=("pytest", "tests/processes/test_runner.py", "-k", "and_again_without_a_bell"),
        found_as="test_it_looks_as_it_starts_and_again_without_a_bell",
    ),
    Defect(
        name="half-the-balance",
        what="the funds end when half of the money is left",
        edits=[
            Edit(
                within="funds_end",
                sound="balance + overdraft",
                broken="balance / 2 + overdraft",
            ),
        ],
        found_by=story("funds run out"),
        found_as=HEALTHY,
    ),
    Defect(
        name="budgets-stop-nothing",
        what="what a budget with a hard stop leaves ends no session",
        edits=[
            Edit(
                within="hard_stops",
                sound="[one for one in budgets if one.hard_stop]",
                broken="[]",
            ),
        ],
        found_by=("pytest", "tests/flows/test_hard_stops.py", "-k", "raised_in_time"),
        found_as="test_a_budget_that_is_raised_in_time_stops_later",
    ),
    Defect(
        name="orphans-never-closed",
        what="what is open without a session is not closed, though its platform closes by id",
        edits=[
            Edit(
                within="closes_by_its_own_end",
                sound="placement.session_id is None and not closes_by_id",
                broken="placement.session_id is None",
            ),
        ],
        found_by=story("opens too late, at node"),
        found_as=LEAKS,
    ),
)
