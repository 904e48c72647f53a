"""Each violation, planted by itself, is counted by its own check and by no other, until it is gone."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Table, delete, insert, select, text, update

from orchestrator.flows.audit.audit_store import audit_everything
from orchestrator.rules.audit.invariants import Invariant
from orchestrator.store.queries.audit import ACCOUNTS, LEDGER, OUTBOX, PLACEMENTS, SESSIONS
from orchestrator.store.queries.audit_live import CREDENTIALS, LEASES
from tests.audit.conftest import Scene
from tests.emptying import unguarded
from tests.store.stage import statements
from tests.world import HOUR, MINUTE, SECOND

Plant = Callable[[Connection, Scene], None]
DAY, YEARS = timedelta(days=1), timedelta(days=3650)


def of_session(which: str, **values: Any) -> Plant:
    """Write these into a session's row; a span is from now."""
    return lambda c, scene: _update(c, scene, SESSIONS, "id", getattr(scene, which), values)


def of_placement(which: str, **values: Any) -> Plant:
    """Write these into the row of a session's placement."""
    return lambda c, scene: _update(c, scene, PLACEMENTS, "session_id", getattr(scene, which), values)


def of_account(account_id: str, **values: Any) -> Plant:
    """Write these into an account's row."""
    return lambda c, scene: _update(c, scene, ACCOUNTS, "id", account_id, values)


def _update(c: Connection, scene: Scene, table: Table, key: str, value: str, values: dict[str, Any]) -> None:
    now = scene.world.clock.now
    values = {name: now + v if isinstance(v, timedelta) else v for name, v in values.items()}
    assert c.execute(update(table).where(table.c[key] == value).values(**values)).rowcount == 1


def _copy_placement(which: str, to: str, **values: Any) -> Plant:
    def plant(c: Connection, scene: Scene) -> None:
        query = select(PLACEMENTS).where(PLACEMENTS.c.session_id == getattr(scene, which))
        row = dict(c.execute(query).mappings().one())
        mine = {"id": "copy", "session_id": getattr(scene, to), "n": 9, "handle": None}
        c.execute(insert(PLACEMENTS).values(**(row | mine | values)))

    return plant


def _forget_events(which: str, *kinds: str) -> Plant:
    def plant(c: Connection, scene: Scene) -> None:
        mine = delete(OUTBOX).where(OUTBOX.c.subject == getattr(scene, which))
        types = [f"orchestrator.session.{kind}" for kind in kinds]
        assert c.execute(mine.where(OUTBOX.c.type.in_(types)) if types else mine).rowcount

    return plant


def _lowered_before_they_came(plan: str, under: dict[str, int]) -> Plant:
    """Give the account this plan since before its newest sessions, which were admitted anyway."""

    def plant(c: Connection, scene: Scene) -> None:
        _update(c, scene, ACCOUNTS, "id", "acme", {"plan": plan})
        c.execute(update(SESSIONS).where(SESSIONS.c.account_id == "acme").values(admitted_under=under))

    return plant


def _spend_what_is_not_there(c: Connection, scene: Scene) -> None:
    row = dict(c.execute(select(LEDGER).where(LEDGER.c.account_id == "idle")).mappings().one())
    spent = {
        "id": 900_000,
        "key": "k",
        "debit": "account:idle",
        "credit": "revenue",
        "amount": row["amount"] + 1,
    }
    c.execute(insert(LEDGER).values(**(row | spent)))
    _update(c, scene, ACCOUNTS, "id", "idle", {"balance": -1})


def _write_off(ago: timedelta) -> Plant:
    def plant(c: Connection, scene: Scene) -> None:
        row = dict(c.execute(select(LEDGER).where(LEDGER.c.account_id == "idle")).mappings().one())
        lost = {"id": 900_000, "key": "k", "kind": "write_off", "debit": "written_off", "amount": 1}
        c.execute(insert(LEDGER).values(**(row | lost | {"at": scene.world.clock.now - ago})))
        _update(c, scene, ACCOUNTS, "id", "idle", {"balance": row["amount"] + 1})

    return plant


def _forget_to_count(c: Connection, _scene: Scene) -> None:
    counted = "UPDATE session_counts SET n = n - 1 WHERE account_id = 'acme' AND state = 'stopped'"
    assert c.execute(text(counted)).rowcount == 1


def _forget_a_group(c: Connection, _scene: Scene) -> None:
    counted = "UPDATE session_groups SET ran_seconds = 9 WHERE account_id = 'acme' AND phase = 'running'"
    assert c.execute(text(counted)).rowcount == 1


def _miscount_a_day(c: Connection, _scene: Scene) -> None:
    counted = (
        "UPDATE daily_costs SET amount = amount + 1000000 WHERE account_id = 'acme' AND model_id = 'llama'"
    )
    assert c.execute(text(counted)).rowcount == 1


def _forget_a_step(c: Connection, _scene: Scene) -> None:
    one = "SELECT id FROM sessions WHERE state = 'running' ORDER BY id LIMIT 1"
    assert c.execute(text(f"DELETE FROM next_steps WHERE session_id = ({one})")).rowcount == 1


def _of_the_archive(statement: str, *, pays: str | None = None) -> Plant:
    """Change the archive of `past` in a way that triggers refuse; `pays`: the change of that account's balance."""

    def plant(c: Connection, scene: Scene) -> None:
        with unguarded(c):
            assert (
                c.execute(text(statement), {"id": scene.archived} if ":id" in statement else {}).rowcount == 1
            )
        if pays is not None:
            c.execute(text(f"UPDATE accounts SET balance = balance {pays} WHERE id = 'past'"))

    return plant


def _garble_an_account(c: Connection, _scene: Scene) -> None:
    assert c.execute(text("UPDATE accounts SET quota = '[7]' WHERE id = 'idle'")).rowcount == 1


def _hold_an_event_back(c: Connection, scene: Scene) -> None:
    first = select(OUTBOX.c.seq).where(OUTBOX.c.subject == scene.stopped).limit(1).scalar_subquery()
    held = {"delivered_at": None, "time": scene.world.clock.now - HOUR}
    assert c.execute(update(OUTBOX).where(OUTBOX.c.seq == first).values(**held)).rowcount == 1


def _silence_the_scheduler(c: Connection, scene: Scene) -> None:
    ago = scene.world.clock.now - HOUR
    c.execute(insert(LEASES).values(name="scheduler", holder="x", fence=1, until=ago, at=ago))


def _lease_a_key_for_ever(c: Connection, scene: Scene) -> None:
    until = scene.world.clock.now + DAY
    lease = update(CREDENTIALS).where(CREDENTIALS.c.id == "morph:env:MORPH_2")
    assert c.execute(lease.values(lease_token="t", lease_until=until)).rowcount == 1


LOST = {"lease_token": "t", "lease_until": -HOUR, "next_step_at": -HOUR}
PUT_OFF = LOST | {"next_step_at": MINUTE}
NO_STEP = {"next_step": None, "next_step_at": None, "lease_token": None, "lease_until": None}
PLANTED: dict[str, tuple[Invariant, Plant]] = {
    "a running session without a step": (Invariant.STEPS, of_session("running", **NO_STEP)),
    "a closing placement without a step": (Invariant.STEPS, of_placement("stopping", **NO_STEP)),
    "a stopping session with nothing to wait for": (
        Invariant.STEPS,
        of_placement("stopping", state="closed", proof="it said so", **NO_STEP),
    ),
    "a ping in ten years": (Invariant.STEPS, of_session("running", next_step_at=YEARS)),
    "a stop in ten years": (Invariant.STEPS, of_session("running", stop_at=YEARS)),
    "a close in ten years": (Invariant.STEPS, of_placement("stopping", next_step_at=YEARS)),
    "a stopped session with a step": (
        Invariant.STEPS,
        of_session("stopped", next_step="stop", next_step_at=HOUR),
    ),
    "a ping that is not claimed": (Invariant.OVERDUE, of_session("running", next_step_at=-HOUR)),
    "a close that is not claimed": (
        Invariant.OVERDUE,
        of_placement("stopping", next_step_at=-HOUR, lease_until=None),
    ),
    "an account that is not charged": (Invariant.OVERDUE, of_account("acme", next_step_at=-HOUR)),
    "a stop after its instant": (
        Invariant.OVERDUE,
        of_session("running", stop_at=-HOUR, declared_end_at=-HOUR, stop_at_reason="provider_ended"),
    ),
    "a lease that was not taken over": (Invariant.LEASES, of_session("running", **LOST)),
    "a ping put off after its lease": (
        Invariant.LEASES,
        of_session("running", **PUT_OFF, last_alive_at=-HOUR),
    ),
    "a close put off after its lease": (Invariant.LEASES, of_placement("stopping", **PUT_OFF)),
    "a lease on a row at rest": (Invariant.LEASES, of_session("stopped", lease_token="t", lease_until=HOUR)),
    "a lease longer than any": (Invariant.LEASES, of_session("running", lease_token="t", lease_until=DAY)),
    "a key leased for ever": (Invariant.LEASES, _lease_a_key_for_ever),
    "a change without an event": (Invariant.TRANSITIONS, _forget_events("stopped", "running")),
    "a last change without an event": (
        Invariant.TRANSITIONS,
        _forget_events("stopping", "stopping", "unproven"),
    ),
    "a session without an event": (Invariant.TRANSITIONS, _forget_events("created")),
    "two placements that serve": (Invariant.SERVING, _copy_placement("running", "running")),
    "a key with two placements": (Invariant.CREDENTIALS, _copy_placement("stopping", "created")),
    "a stopped session that is served": (Invariant.LEAKS, of_placement("stopped", state="open", handle=None)),
    "a stopping session that is not being closed": (
        Invariant.LEAKS,
        of_placement("stopping", state="open", **NO_STEP),
    ),
    "a close without a proof": (Invariant.PROOFS, of_placement("stopped", proof=None)),
    "a forced close without a session": (
        Invariant.FORCED,
        of_placement("stopped", forced_at=-HOUR, forced_by="me"),
    ),
    "a deleted session that stops": (Invariant.DELETED, of_session("stopping", deleted_at=-HOUR)),
    "more sessions than the plan had": (
        Invariant.QUOTA,
        _lowered_before_they_came("few", {"max_sessions": 1}),
    ),
    "more at once than the plan allowed": (
        Invariant.QUOTA,
        _lowered_before_they_came("narrow", {"max_concurrent": 1}),
    ),
    "more nodes in total than the plan allowed": (
        Invariant.QUOTA,
        _lowered_before_they_came("slim", {"max_nodes_total": 1}),
    ),
    "more nodes than the plan allowed": (
        Invariant.QUOTA,
        of_session("running", admitted_under={"max_nodes": 0}),
    ),
    "a balance from nowhere": (Invariant.BALANCE, of_account("idle", balance=6)),
    "a balance below zero": (Invariant.BALANCE, _spend_what_is_not_there),
    "a charge that was not posted": (Invariant.POSTED, of_session("stopped", charges=9)),
    "minutes that were not charged": (Invariant.COST, of_session("stopped", ran_microseconds=7_200_000_000)),
    "a dead one that pays for its hold": (
        Invariant.PAID,
        of_session("stopped", stop_reason="dead", held_since=-HOUR, last_alive_at=-DAY),
    ),
    "one that runs without a proof of life": (Invariant.ALIVE, of_session("running", not_well_since=-DAY)),
    "funds that end at another time": (Invariant.FUNDS, of_account("acme", funds_end_at=HOUR + SECOND)),
    "an event that stays": (Invariant.OUTBOX, _hold_an_event_back),
    "a scheduler that fell silent": (Invariant.SCHEDULER, _silence_the_scheduler),
    "an account that cannot be read": (Invariant.ROWS, _garble_an_account),
    "a session that was not counted": (Invariant.COUNTS, _forget_to_count),
    "a session that claims do not find": (Invariant.STEPS, _forget_a_step),
    "sessions that run and were summed up wrongly": (Invariant.COUNTS, _forget_a_group),
    "an archived session that was changed": (
        Invariant.ARCHIVE,
        _of_the_archive("""UPDATE archived_sessions SET record = '{"session": {}}' WHERE id = :id"""),
    ),
    "an archived session without its record": (
        Invariant.ARCHIVE,
        _of_the_archive("UPDATE archived_sessions SET record = NULL WHERE id = :id"),
    ),
    "an opening entry that was changed": (
        Invariant.ARCHIVE,
        _of_the_archive("UPDATE ledger SET amount = amount + 1 WHERE kind = 'opening'", pays="- 1"),
    ),
    "an opening entry that is missing": (
        Invariant.ARCHIVE,
        _of_the_archive(
            "DELETE FROM ledger WHERE kind = 'opening'",
            pays="- (SELECT sum(amount) FROM archived_books)",
        ),
    ),
    "a day that was miscounted": (Invariant.DAILY_COSTS, _miscount_a_day),
    "a loss": (Invariant.WRITTEN_OFF, _write_off(HOUR)),
}


def test_in_health_every_number_is_zero(scene: Scene) -> None:
    assert scene.audit() == {}
    assert audit_everything(scene.world.services).found == []


@pytest.mark.parametrize("what", PLANTED)
def test_a_violation_is_counted_by_its_check_alone_until_it_is_gone(scene: Scene, what: str) -> None:
    check, plant = PLANTED[what]
    assert scene.audit() == {}
    with scene.world.services.database.engine.begin() as connection:
        plant(connection, scene)

    assert scene.audit() == {check.value: 1}
    assert [finding.check for finding in audit_everything(scene.world.services).found] == [check]
    assert scene.audit() == {check.value: 1}, "it stands"
    assert scene.audit_events()[-1] == ("violated", check.value)

    scene.put_back()
    assert scene.audit() == {}
    assert scene.audit_events()[-1] == ("healed", check.value)


@pytest.mark.parametrize("plan", ["few", "narrow", "slim", "gone"])
def test_a_limit_that_is_lowered_below_what_runs_is_no_violation(scene: Scene, plan: str) -> None:
    with scene.world.services.database.engine.begin() as connection:
        of_account("acme", plan=plan)(connection, scene)
    assert scene.audit() == {}
    assert audit_everything(scene.world.services).found == []


def test_who_is_let_in_while_another_goes_uncounted_is_found(scene: Scene) -> None:
    """The result of a race that both lost: each saw the other's slot free."""
    world, mine = scene.world, SESSIONS.c.id == scene.running
    with world.services.database.engine.begin() as connection:
        account = connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == "acme")).mappings().one()
        connection.execute(update(SESSIONS).where(mine).values(deleted_at=world.clock.now))
    world.create_session("llama")
    with world.services.database.engine.begin() as connection:
        connection.execute(update(SESSIONS).where(mine).values(deleted_at=None))
        connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == "acme").values(**account))
    assert scene.audit() == {"quota": 1}
    [found] = audit_everything(world.services).found
    assert found.detail == "it holds 3 concurrent sessions, 2 were allowed when the newest came"


def test_what_an_operator_lowers_binds_the_next_one_and_accuses_nobody(scene: Scene) -> None:
    world = scene.world
    quota = {"max_sessions": 1, "max_concurrent": 1, "max_nodes_total": 1}
    world.done("account.put", account_id="acme", plan="payg", currency="USD", quota=quota)
    assert world.refused("session.start", session_id=scene.created) == "quota_nodes_exceeded"
    assert scene.audit() == {}
    more = {"max_concurrent": 3, "max_nodes_total": "unlimited"}
    world.done("account.put", account_id="acme", plan="payg", currency="USD", quota=more)
    world.done("session.start", session_id=scene.created)
    world.done("account.put", account_id="acme", plan="payg", currency="USD", quota={"max_concurrent": 0})
    assert scene.audit() == {}


def test_a_loss_stands_for_a_day(scene: Scene) -> None:
    with scene.world.services.database.engine.begin() as connection:
        _write_off(DAY + SECOND)(connection, scene)
    assert audit_everything(scene.world.services).found == []


@pytest.mark.parametrize(
    ("statement", "sums"),
    [
        pytest.param("DELETE FROM archived_ledger", True, id="an entry is missing"),
        pytest.param(
            "UPDATE archived_ledger SET amount = amount + 1", True, id="an entry has another amount"
        ),
        pytest.param("UPDATE archived_ledger SET note = 'x'", False, id="an entry has another note"),
        pytest.param("DELETE FROM archived_sessions WHERE id = :id", False, id="the session is missing"),
    ],
)
def test_what_is_missing_or_changed_in_the_archive_is_found(
    scene: Scene, statement: str, *, sums: bool
) -> None:
    """Faults that only a full audit of the whole archive finds; with other amounts, its day differs too."""
    with scene.world.services.database.engine.begin() as connection:
        _of_the_archive(statement)(connection, scene)
    expected = {Invariant.ARCHIVE, Invariant.DAILY_COSTS} if sums else {Invariant.ARCHIVE}
    assert {finding.check for finding in audit_everything(scene.world.services).found} == expected


def test_every_check_has_its_violation() -> None:
    assert {check for check, _ in PLANTED.values()} == set(Invariant)


def test_many_balances_that_differ_are_added_up_again_in_one_statement(scene: Scene) -> None:
    database = scene.world.services.database

    def asked() -> int:
        with statements(database) as seen:
            assert scene.audit()
        return sum("LEFT OUTER JOIN audit_balances" in statement for statement, _ in seen)

    with database.engine.begin() as connection:
        of_account("idle", balance=6)(connection, scene)
    of_one = asked()
    with database.engine.begin() as connection:
        connection.execute(update(ACCOUNTS).values(balance=ACCOUNTS.c.balance + 1))
    assert asked() == of_one
    assert scene.audit()[Invariant.BALANCE] == 3
