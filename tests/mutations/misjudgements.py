"""Defects of decisions: healthy sessions are ended, or unknown ones are left alone."""

from collections.abc import Sequence

from tests.mutations.kinds import HEALTHY, LEAKS, Defect, Edit, story

MISJUDGEMENTS: Sequence[Defect] = (
    Defect(
        name="one-ping-kills",
        what="a single failed ping ends a session, and calls that an end that its provider had declared",
        edits=[
            Edit(
                file="orchestrator/rules/sessions/decide.py",
                sound="    ended = session.declared_end_at is not None and now >= session.declared_end_at\n",
                broken="    ended = True\n",
            ),
            Edit(
                file="orchestrator/rules/sessions/decide.py",
                sound="    if session.failures >= policy.dead_after_failures and "
                "seconds >= policy.dead_after_seconds:\n",
                broken="    if session.failures >= 1:\n",
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
                file="orchestrator/rules/sessions/pings.py",
                sound="failing_since or now\n    return 0, None\n",
                broken="failing_since or now\n    return session.failures, session.failing_since\n",
            )
        ],
        found_by=story("stumbles, at alpha"),
        found_as=HEALTHY,
    ),
    Defect(
        name="groups-forget-a-block",
        what="of many sessions, the block that each has begun is not counted",
        edits=[
            Edit(
                file="orchestrator/rules/billing/groups.py",
                sound="        return (Fraction(ran, self.block) + self.sessions) * self.of_block + self.rounding\n",
                broken="        return Fraction(ran, self.block) * self.of_block + self.rounding\n",
            )
        ],
        found_by=("pytest", "tests/rules/test_groups.py"),
        found_as="test_no_more_is_uncharged_than_groups_tell",
    ),
    Defect(
        name="hold-is-billed",
        what="who is found dead after a hold pays for the hold",
        edits=[
            Edit(
                file="orchestrator/rules/upstream/brake.py",
                sound="    return min(session.last_alive_at, now)\n",
                broken="    return now\n",
            )
        ],
        found_by=("pytest", "tests/flows/test_brake.py", "-k", "cost_nothing_beyond and sqlite"),
        found_as="test_after_a_hold_the_dead_cost_nothing_beyond_their_last_proof_of_life[sqlite]",
    ),
    Defect(
        name="verdicts-take-turns",
        what="each kind of doubt begins the bound anew, so that a session which is never well never ends",
        edits=[
            Edit(
                file="orchestrator/rules/sessions/pings.py",
                sound="not_well_since=None if is_alive else session.not_well_since or now,",
                broken="not_well_since=None if is_alive else now,",
            )
        ],
        found_by=("pytest", "tests/rules/test_streaks.py", "-k", "take_turns"),
        found_as="test_verdicts_that_take_turns_end_within_the_one_bound",
    ),
    Defect(
        name="full-file-table-is-a-failed-ping",
        what="a ping for which no file descriptor was free counts as one that failed",
        edits=[
            Edit(
                file="orchestrator/providers/http/local_faults.py",
                sound="    errno.EMFILE: LocalFault.FILES,\n",
                broken="",
            )
        ],
        found_by=("pytest", "tests/providers/test_local_faults.py", "-k", "test_a_full_file_table_is_ours"),
        found_as="test_a_full_file_table_is_ours",
    ),
    Defect(
        name="decode-error-requeues",
        what="a message that cannot be decoded goes back to its queue, and comes again for ever",
        edits=[
            Edit(
                file="orchestrator/tasks/intake.py",
                sound="self.connection_errors, requeue=False)",
                broken="self.connection_errors, requeue=True)",
            )
        ],
        found_by=("pytest", "tests/processes/test_messages.py", "-k", "test_every_shape_of_a_wrong_message"),
        found_as="test_every_shape_of_a_wrong_message_is_parked_and_the_worker_goes_on",
    ),
    Defect(
        name="wake-up-expires-by-wall-clock",
        what="a wake-up carries an expiry, so that a worker whose clock is ahead discards every one",
        edits=[
            Edit(
                file="orchestrator/tasks/waker.py",
                sound="queue=queue, ignore_result=True, retry=False)",
                broken="queue=queue, ignore_result=True, retry=False, expires=60)",
            )
        ],
        found_by=("pytest", "tests/processes/test_waker.py", "-k", "test_a_wake_up_compares_no_clocks"),
        found_as="test_a_wake_up_compares_no_clocks",
    ),
    Defect(
        name="doubted-clock-goes-on",
        what="the store's clock is noticed to have jumped, and the time goes on by it all the same",
        edits=[
            Edit(
                file="orchestrator/rules/installation/clock.py",
                sound="last=max(trust.last, trust.at(reading.after)), jumped=True)",
                broken="last=max(trust.last, reading.raw), jumped=True)",
            )
        ],
        found_by=("pytest", "tests/flows/test_clock_jumps.py", "-x", "-k", "test_sessions_run_on_are_pinged"),
        found_as="test_sessions_run_on_are_pinged_and_stop_at_their_own_instants",
    ),
    Defect(
        name="no-look-without-a-bell",
        what="a runner waits for its bell for ever: without messages nothing is done",
        edits=[
            Edit(
                file="orchestrator/tasks/runner.py",
                sound="self._bell.wait(pause_of(self._tick, random.uniform(-1, 1)))",
                broken="self._bell.wait(1e6)",
            )
        ],
        found_by=("pytest", "tests/processes/test_runner.py", "-k", "and_again_without_a_bell"),
        found_as="test_it_looks_as_it_starts_and_again_without_a_bell",
    ),
    Defect(
        name="half-the-balance",
        what="the funds end when half of the money is left",
        edits=[
            Edit(
                file="orchestrator/rules/billing/money.py",
                sound="    funds = balance + overdraft + sum(",
                broken="    funds = balance / 2 + overdraft + sum(",
            )
        ],
        found_by=story("funds run out"),
        found_as=HEALTHY,
    ),
    Defect(
        name="orphans-never-closed",
        what="what is open without a session is not closed, though its platform closes by id",
        edits=[
            Edit(
                file="orchestrator/flows/steps/close_due.py",
                sound="    return placement.session_id is None and not driver.card.closes_by_id\n",
                broken="    return placement.session_id is None\n",
            )
        ],
        found_by=story("opens too late, at node"),
        found_as=LEAKS,
    ),
)
