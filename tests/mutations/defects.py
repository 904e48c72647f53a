"""The defects: each is a likely mistake, which this project promises never to contain."""

from collections.abc import Sequence

from tests.mutations.kinds import (
    CHARGED_ONCE,
    HEALTHY,
    LEAKS,
    ONCE,
    ONE_OUTCOME,
    TOLD,
    Defect,
    Edit,
    story,
)
from tests.mutations.misjudgements import MISJUDGEMENTS

DEFECTS: Sequence[Defect] = (
    Defect(
        name="no-intent-row",
        what="the placement is written only once the provider has answered",
        edits=[
            Edit(
                within="PlacementStep.claim.claimed",
                sound="context_of = self.contexts(services, tx, provider, placements)",
                broken="""
                    if self.step == "open":
                        from orchestrator.store.queries.placements import PLACEMENTS
                        ids = [p.id for p in placements]
                        tx.connection.execute(PLACEMENTS.delete().where(PLACEMENTS.c.id.in_(ids)))
                    context_of = self.contexts(services, tx, provider, placements)
                """,
            ),
            Edit(
                within="lock_under_lease",
                sound="current = tx.placements.lock(placement.id)",
                broken="""
                    current = tx.placements.lock(placement.id)
                    if current is None and claimed.step == "open":
                        current = tx.placements.insert(placement)
                """,
            ),
        ],
        found_by=story("closed while it opens, at node"),
        found_as=ONCE,
    ),
    Defect(
        name="lease-ignored",
        what="a claimed placement is due again at once, for any worker",
        edits=[
            Edit(
                within="_claim",
                beside="Claims",
                sound="following = Step.RESOLVE if step is Step.OPEN else step",
                broken="following = step",
            ),
            Edit(
                within="Claims._lease",
                sound='{IDS: list(ids), "token": token, "until": until, "now": now, "fallback_at": fallback_at}',
                broken='{IDS: list(ids), "token": token, "until": until, "now": now, "fallback_at": now}',
            ),
        ],
        found_by=story("closed while it opens, at node"),
        found_as=ONCE,
    ),
    Defect(
        name="blind-retry-of-create",
        what="after a lost answer the open is sent again instead of being resolved",
        edits=[
            Edit(
                within="_claim",
                beside="Claims",
                sound="following = Step.RESOLVE if step is Step.OPEN else step",
                broken="following = step",
            ),
        ],
        found_by=story("lives and is closed, at node"),
        found_as=ONCE,
    ),
    Defect(
        name="settle-without-token",
        what="an answer is settled though the lease was lost",
        edits=[
            Edit(
                within="lock_under_lease",
                sound="current.lease is not None and current.lease.token == claimed.token",
                broken="True",
            ),
        ],
        found_by=story("resolve settled too late, at morph"),
        found_as=LEAKS,
    ),
    Defect(
        name="stop-intent-not-read-again",
        what="an open that comes back does not look whether the session was stopped meanwhile",
        edits=[
            Edit(
                within="settle_opened",
                sound="""
                    if not rule.is_awaited(session, placement):
                        transitions.begin_close(work, current, session)
                        return
                """,
                broken="""
                    if session.state is not State.STARTING:
                        return
                """,
            ),
        ],
        found_by=story("closed while it opens, at morph"),
        found_as=LEAKS,
    ),
    Defect(
        name="charge-without-key",
        what="a charge has no key of its own session and number, so that one may be posted twice",
        edits=[
            Edit(
                within="AccountLedger.charge",
                sound='key = f"charge:{session.id}:{n}"',
                broken='key = f"charge:{session.id}:{n}:{self._now.timestamp()}"',
            ),
            Edit(
                within="AccountLedger.charge",
                sound="replace(session, charged=cost, charges=n)",
                broken="replace(session, charges=n)",
            ),
        ],
        found_by=story("lives and is closed, at alpha"),
        found_as=CHARGED_ONCE,
    ),
    Defect(
        name="event-outside-the-transaction",
        what="events are written in a transaction of their own, after their change",
        edits=[
            Edit(
                within="Database.attempt",
                sound="""
                    with self.engine.begin() as connection:
                        unit = Transaction(connection, self._clock_of(connection), self.identity, self._lately)
                        result = work(unit)
                        unit.flush()
                """,
                broken="""
                    with self.engine.begin() as connection:
                        unit = Transaction(connection, self._clock_of(connection), self.identity, self._lately)
                        result = work(unit)
                        unit._writes.write()
                    with self.engine.begin() as another:
                        unit._writes._connection, unit._writes._gathers = another, False
                        unit.flush()
                """,
            ),
        ],
        found_by=story("lives and is closed, at alpha"),
        found_as=TOLD,
    ),
    Defect(
        name="close-without-proof",
        what="a close that was not confirmed counts as proven",
        edits=[
            Edit(
                within="CloseStep.settle_one.settle",
                sound="held.lease_held and closing and isinstance(answer.said, Closed)",
                broken="held.lease_held and closing",
            ),
            Edit(
                within="CloseStep.settle_one.settle",
                sound="""
                    _settle_proven(tx, held, answer.said, now)
                    lag = _lag(held.session, now)
                """,
                broken="""
                    said = answer.said if isinstance(answer.said, Closed) else Closed(proof="assumed")
                    _settle_proven(tx, held, said, now)
                    lag = _lag(held.session, now)
                """,
            ),
        ],
        found_by=story("close not proven, at node"),
        found_as=LEAKS,
    ),
    Defect(
        name="brake-off",
        what="an outage of a provider kills its sessions one by one",
        edits=[
            Edit(
                within="is_at_fault",
                sound="""
                    if health.seen >= MANY:
                        return 2 * health.ill > health.seen
                    return health.seen >= smallest and health.ill == health.seen
                """,
                broken="return health.seen < 0 and smallest > MANY",
            ),
        ],
        found_by=story("provider is at fault"),
        found_as=HEALTHY,
    ),
    Defect(
        name="claim-without-skip-locked",
        what="on PostgreSQL two workers claim the same rows",
        edits=[
            Edit(
                within="_due",
                beside="Claims",
                sound="any_query.with_for_update(skip_locked=True)",
                broken="any_query",
            ),
        ],
        found_by=(
            "pytest",
            "tests/store/test_placements.py",
            "-k",
            "a_claim_passes_over",
        ),
        found_as="test_a_claim_passes_over_placements_that_another_holds",
    ),
    Defect(
        name="many-closes-without-their-leases",
        what="a worker that stood still settles closes that are another's by now",
        edits=[
            Edit(
                within="_holds",
                beside="_prove",
                sound="placement.lease is not None and placement.lease.token == answer.claimed.token",
                broken="placement.lease is not None",
            ),
        ],
        found_by=("pytest", "tests/flows/test_many_closes.py", "-k", "lost_its_lease and sqlite"),
        found_as="test_what_lost_its_lease_is_left_to_its_holder[sqlite]",
    ),
    Defect(
        name="closes-before-due-stops",
        what="closes are settled although more stops of their account come first",
        edits=[
            Edit(
                within="lock_many",
                sound="{one: work for one, work in works.items() if work not in behind}",
                broken="works",
            ),
        ],
        found_by=("pytest", "tests/flows/test_many_closes.py", "-k", "many_due_stops and sqlite"),
        found_as="test_the_close_of_an_account_with_many_due_stops_comes_after_all_of_them[sqlite]",
    ),
    Defect(
        name="many-accounts-not-locked",
        what="the stops of many accounts do not respect the locks of others",
        edits=[
            Edit(
                within="locked_rows",
                sound="mine.with_for_update(skip_locked=skip_locked)",
                broken="mine",
            ),
        ],
        found_by=("pytest", "tests/store/test_gathering.py", "-k", "others_hold"),
        found_as="test_accounts_that_others_hold_are_left_out",
    ),
    Defect(
        name="gathered-changes-overtaken",
        what="a query does not see the changes that its transaction has gathered",
        edits=[
            Edit(
                within="Gathering._write_waiting",
                sound="self._updates or self._inserts or self._new",
                broken="self._inserts or self._new",
            ),
        ],
        found_by=("pytest", "tests/store/test_gathering.py", "-k", "overtakes and sqlite"),
        found_as="test_no_query_overtakes_what_was_gathered[sqlite]",
    ),
    Defect(
        name="gathered-changes-not-guarded",
        what="rows are written though they changed after they were read",
        edits=[
            Edit(
                within="_update_each",
                sound="and_(table.c.id == bindparam(ID), table.c.revision == bindparam(WAS))",
                broken="table.c.id == bindparam(ID)",
            ),
        ],
        found_by=("pytest", "tests/store/test_gathering.py", "-k", "under_its_lock and sqlite"),
        found_as="test_a_row_that_changed_under_its_lock_undoes_everything[sqlite]",
    ),
    Defect(
        name="job-recorded-twice",
        what="the effect of a job is kept though its task id is known already",
        edits=[
            Edit(
                within="_check_new",
                sound="written != wanted",
                broken="written > wanted",
            ),
        ],
        found_by=("pytest", "tests/store/test_gathering.py", "-k", "there_already and sqlite"),
        found_as="test_a_row_that_is_there_already_undoes_everything[sqlite]",
    ),
    Defect(
        name="stop-takes-effect-when-decided",
        what="a rule's stop is charged to the instant of its decision",
        edits=[
            Edit(
                within="_carry_out",
                beside="apply_due_stops",
                sound="transitions.end(work, before, due.reason, due.at, due.detail)",
                broken="transitions.end(work, before, due.reason, work.now, due.detail)",
            ),
        ],
        found_by=story("ends while no worker runs, at alpha"),
        found_as=HEALTHY,
    ),
    Defect(
        name="job-done-twice",
        what="the same task id again is a new job",
        edits=[
            Edit(
                within="_perform.once",
                sound="_known(tx, task_id, job.name, job.fingerprint)",
                broken="Performed(outcome=_done(services, tx, job, None))",
            ),
        ],
        found_by=story("lives and is closed, at alpha"),
        found_as=ONE_OUTCOME,
    ),
    Defect(
        name="ping-after-close",
        what="a close does not wait for a ping that was claimed and may be about to begin",
        edits=[
            Edit(
                within="closing",
                sound="pinged_since + timedelta(seconds=begins_within * 1.1)",
                broken="pinged_since",
            ),
        ],
        found_by=(
            "pytest",
            "tests/flows/test_closing.py",
        ),
        found_as="test_a_ping_that_may_be_about_to_begin_is_hidden_by_no_other",
    ),
    Defect(
        name="account-not-locked",
        what="admission counts without the lock of the account",
        edits=[
            Edit(
                within="Accounts.lock",
                sound="_LOCK if waits else _LOCK_FREE",
                broken="_ONE if waits else _ONE",
            ),
            Edit(
                within="_FREE",
                sound='_LOCK_FREE.subquery("locked")',
                broken='_ONE.subquery("locked")',
            ),
        ],
        found_by=(
            "pytest",
            "tests/processes/test_quota.py",
        ),
        found_as="test_of_a_hundred_that_may_wait_twenty_are_kept_and_two_run_at_a_time",
    ),
    Defect(
        name="bulk-ignores-token",
        what="good pings are settled in bulk though another worker holds the session by now",
        edits=[
            Edit(
                within="_settle_all",
                sound="SESSIONS.c.lease_token == new.c.its_token",
                broken="new.c.its_token.is_not(None)",
            ),
            Edit(
                within="Pings._settle_each",
                sound="(ping.session_id, ping.token, ping.revision) in held",
                broken="(ping.session_id, ping.revision) in {(one, last) for one, _, last in held}",
            ),
        ],
        found_by=("pytest", "tests/store/test_pings.py"),
        found_as="test_a_settlement_leaves_alone_what_moved_meanwhile",
    ),
    Defect(
        name="claims-trust-the-index",
        what="a session is claimed by its entry in the table of next steps, whatever its own row says by now",
        edits=[
            Edit(
                within="is_due",
                beside="with_sessions",
                sound="_SESSIONS.c.next_step_at <= at",
                broken="_SESSIONS.c.next_step_at.is_not(None)",
            ),
        ],
        found_by=("pytest", "tests/store/test_next_steps.py"),
        found_as="test_a_session_is_claimed_by_its_own_row_whatever_its_next_step_says",
    ),
    Defect(
        name="bulk-ignores-revision",
        what="good pings are settled in bulk by what the session was before another change",
        edits=[
            Edit(
                within="_settle_all",
                sound="SESSIONS.c.revision == new.c.its_revision",
                broken="SESSIONS.c.revision >= new.c.its_revision",
            ),
        ],
        found_by=("pytest", "tests/store/test_pings.py"),
        found_as="test_a_settlement_leaves_alone_what_moved_meanwhile",
    ),
    Defect(
        name="charge-not-in-daily-costs",
        what="a charge does not reach the costs of its day",
        edits=[
            Edit(
                within="_OF_SESSIONS",
                beside="_of_all",
                sound="\"('charge', 'reversal', 'write_off')\"",
                broken="\"('reversal', 'write_off')\"",
            ),
        ],
        found_by=("pytest", "tests/audit/test_daily_costs.py", "-k", "every_charge and sqlite"),
        found_as="test_every_charge_reaches_the_costs_of_its_day[sqlite]",
    ),
    *MISJUDGEMENTS,
)
