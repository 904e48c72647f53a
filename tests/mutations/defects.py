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
                file="orchestrator/flows/steps/claims.py",
                sound="        tells_apart = card is not None",
                broken="        if step is Step.OPEN:\n"
                "            from orchestrator.store.queries.placements import PLACEMENTS\n"
                "            ids = [p.id for p in placements]\n"
                "            tx.connection.execute(PLACEMENTS.delete().where(PLACEMENTS.c.id.in_(ids)))\n"
                "        tells_apart = card is not None",
            ),
            Edit(
                file="orchestrator/flows/steps/claims.py",
                sound="    current = tx.placements.lock(placement.id)\n",
                broken="    current = tx.placements.lock(placement.id)\n"
                "    if current is None and claimed.step is Step.OPEN:\n"
                "        current = tx.placements.insert(placement)\n",
            ),
        ],
        found_by=story("closed while it opens, at node"),
        found_as=ONCE,
    ),
    Defect(
        name="lease-ignored",
        what="a claimed placement is due again at once, for anybody",
        edits=[
            Edit(
                file="orchestrator/store/queries/claims.py",
                sound="                next_step=following,\n                next_step_at=silence,\n",
                broken="                next_step=step,\n                next_step_at=now,\n",
            )
        ],
        found_by=story("closed while it opens, at node"),
        found_as=ONCE,
    ),
    Defect(
        name="blind-retry-of-create",
        what="after a lost answer the open is sent again instead of being resolved",
        edits=[
            Edit(
                file="orchestrator/store/queries/claims.py",
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
                file="orchestrator/flows/steps/claims.py",
                sound="held = current.lease_token == claimed.token",
                broken="held = True",
            )
        ],
        found_by=story("resolve settled too late, at morph"),
        found_as=LEAKS,
    ),
    Defect(
        name="stop-intent-not-read-again",
        what="an open that comes back does not look whether the session was stopped meanwhile",
        edits=[
            Edit(
                file="orchestrator/flows/steps/after_open.py",
                sound="    if session.state is not State.STARTING or session.placements != placement.n:\n"
                "        transitions.begin_close(work, current, session)\n        return\n",
                broken="    if session.state is not State.STARTING:\n        return\n",
            )
        ],
        found_by=story("closed while it opens, at morph"),
        found_as=LEAKS,
    ),
    Defect(
        name="charge-without-key",
        what="a charge has no key of its own session and number, so that one may be posted twice",
        edits=[
            Edit(
                file="orchestrator/flows/lifecycle/account_ledger.py",
                sound='        key = f"charge:{session.id}:{n}"\n',
                broken='        key = f"charge:{session.id}:{n}:{self._now.timestamp()}"\n',
            ),
            Edit(
                file="orchestrator/flows/lifecycle/account_ledger.py",
                sound="return charged, replace(session, charged=cost, charges=n)",
                broken="return charged, replace(session, charges=n)",
            ),
        ],
        found_by=story("lives and is closed, at alpha"),
        found_as=CHARGED_ONCE,
    ),
    Defect(
        name="event-outside-the-transaction",
        what="events are written in a transaction of their own, after the change they tell of",
        edits=[
            Edit(
                file="orchestrator/store/database.py",
                sound="            result = work(unit)\n            unit.flush()\n",
                broken="            result = work(unit)\n"
                "        with self.engine.begin() as another:\n"
                "            unit.outbox._connection = another\n"
                "            unit.flush()\n",
            )
        ],
        found_by=story("lives and is closed, at alpha"),
        found_as=TOLD,
    ),
    Defect(
        name="close-without-proof",
        what="a close that was not confirmed counts as proven",
        edits=[
            Edit(
                file="orchestrator/flows/steps/close_due.py",
                sound="        if held.lease_held and closing and isinstance(answer.said, Closed):\n",
                broken="        if held.lease_held and closing and not isinstance(answer.said, Closed):\n"
                '            _proven(tx, held, Closed(proof="assumed"), now)\n'
                "        elif held.lease_held and closing and isinstance(answer.said, Closed):\n",
            )
        ],
        found_by=story("close not proven, at node"),
        found_as=LEAKS,
    ),
    Defect(
        name="brake-off",
        what="an outage of a provider kills its sessions one by one",
        edits=[
            Edit(
                file="orchestrator/rules/upstream/brake.py",
                sound="    if health.seen >= MANY:\n        return 2 * health.ill > health.seen\n"
                "    return health.seen >= smallest and health.ill == health.seen\n",
                broken="    return health.seen < 0 and smallest > MANY\n",
            )
        ],
        found_by=story("provider is at fault"),
        found_as=HEALTHY,
    ),
    Defect(
        name="claim-without-skip-locked",
        what="on PostgreSQL two workers claim the same rows",
        edits=[
            Edit(
                file="orchestrator/store/queries/claims.py",
                sound="            .order_by(PLACEMENTS.c.next_step_at)\n            .limit(limit)\n"
                "            .with_for_update(skip_locked=True)\n        )\n"
                "        return list(self._connection.execute(query))",
                broken="            .order_by(PLACEMENTS.c.next_step_at)\n            .limit(limit)\n        )\n"
                "        return list(self._connection.execute(query))",
            )
        ],
        found_by=(
            "pytest",
            "tests/store/test_placements.py",
        ),
        found_as="test_two_claims_at_once_never_take_the_same_placement[postgresql]",
    ),
    Defect(
        name="stop-takes-effect-when-decided",
        what="a rule's stop is charged to the instant at which somebody got round to it",
        edits=[
            Edit(
                file="orchestrator/flows/lifecycle/due_stops.py",
                sound="    stops.end(work, before, due.reason, due.at, due.detail)",
                broken="    stops.end(work, before, due.reason, work.now, due.detail)",
            )
        ],
        found_by=story("ends while nobody works, at alpha"),
        found_as=HEALTHY,
    ),
    Defect(
        name="job-done-twice",
        what="the same task id again is a new job",
        edits=[
            Edit(
                file="orchestrator/flows/jobs/perform.py",
                sound="            return _known(tx, task_id, job.name, job.fingerprint)\n",
                broken="            return _done(services, tx, job, None)\n",
            )
        ],
        found_by=story("lives and is closed, at alpha"),
        found_as=ONE_OUTCOME,
    ),
    Defect(
        name="ping-after-close",
        what="a close does not wait for a ping that was claimed and may be about to begin",
        edits=[
            Edit(
                file="orchestrator/flows/lifecycle/transitions.py",
                sound="at = max(at, session.leased_at + timedelta(seconds=PING_BEGINS_WITHIN * 1.1))",
                broken="at = max(at, session.leased_at)",
            )
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
                file="orchestrator/store/queries/accounts.py",
                sound="where(ACCOUNTS.c.id == account_id).with_for_update(skip_locked=not waits)",
                broken="where(ACCOUNTS.c.id == account_id).where(ACCOUNTS.c.id.is_not(None) | waits)",
            )
        ],
        found_by=(
            "pytest",
            "tests/processes/test_quota.py",
        ),
        found_as="test_of_a_hundred_creates_at_once_exactly_two_start",
    ),
    *MISJUDGEMENTS,
)
