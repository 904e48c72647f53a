"""Every value is read as it was written: exact money, aware times, every field, on both databases."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, StatementError

from orchestrator.rules.states import PlacementState, State
from orchestrator.rules.values import Account, Attach, Credential, Due, Lease, Model, Placement, Session
from orchestrator.rules.values.budgets import Budget
from orchestrator.store.database import Database
from orchestrator.store.queries.ledger import Entry, book_of
from orchestrator.store.transaction import Transaction
from tests.rules.builders import T0, TICK
from tests.store.stage import a_created, an_account, keep, run, session_id, the_session

T = TypeVar("T")
#: A float cannot hold these.
LARGE = Decimal("9000000000000.000001")

#: Only a session's lease records when it began.
LEASE = Lease("ünï", T0 + TICK)


class Undone(Exception):
    """What was read before the transaction was rolled back."""


def filled(kind: type[T], **given: Any) -> T:
    """Return a value of `kind` in which no field has its default."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    values = {name: _some(hints[name], name, n) for n, name in enumerate(names, start=3)}
    made = kind(**(values | given))
    for field in fields(kind):  # type: ignore[arg-type]
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        assert getattr(made, field.name) != default, f"{field.name} has its default"
    return made


def _some(hint: Any, name: str, n: int) -> Any:
    if isinstance(hint, UnionType):
        hint = next(arg for arg in get_args(hint) if arg is not type(None))
    if get_origin(hint) is tuple and Budget in get_args(hint):
        return (filled(Budget),)
    if get_origin(hint) is tuple:
        return (T0 + TICK, T0) if datetime in get_args(hint) else ("zwei", "eins")
    if get_origin(hint) is Mapping:
        return {"ключ": [1, 2.5, None, {"deep": True}], "name": name}
    if issubclass(hint, StrEnum):
        return list(hint)[-1]
    if hint is Attach:
        return Attach(endpoint_url="https://x/v1", secret_ref="env:X", model="m", ends_at=T0 + TICK)
    if hint in {Due, Lease}:
        return filled(hint)
    values: dict[type, Any] = {
        str: f"{name} ünï 'quoted' ☂",
        int: n,
        bool: True,
        Decimal: LARGE + n,
        datetime: T0 + n * TICK,
        date: T0.date(),
    }
    return values[hint]


def test_every_field_of_a_session_comes_back(database: Database) -> None:
    session = filled(
        Session,
        account_id="acme",
        model_id="llama",
        state=State.RUNNING,
        ran_microseconds=2**53 + 1,
        interactions=2**40,
    )
    keep(database, session)
    assert database.transact(lambda tx: tx.sessions.get(session.id)) == session


def test_every_field_of_a_placement_comes_back(database: Database) -> None:
    placement = filled(Placement, session_id=session_id(1), state=PlacementState.CLOSED, lease=LEASE)
    keep(database, a_created(1), placement)
    assert database.transact(lambda tx: tx.placements.get(placement.id)) == placement


def test_every_field_of_an_account_comes_back(database: Database) -> None:
    account = filled(Account)
    keep(database, account)
    assert database.transact(lambda tx: tx.accounts.get(account.id)) == account


def test_every_field_of_a_model_comes_back(database: Database) -> None:
    model = filled(Model)
    assert database.transact(lambda tx: tx.models.put(model))
    assert database.transact(lambda tx: tx.models.get(model.id)) == model
    assert not database.transact(lambda tx: tx.models.put(model))


def test_every_field_of_a_credential_comes_back(database: Database) -> None:
    credential = filled(Credential, lease=LEASE)
    keep(database, credential)
    assert database.transact(lambda tx: tx.credentials.listed()) == [credential]


def test_every_field_of_a_ledger_entry_comes_back(database: Database) -> None:
    entry = filled(Entry)
    database.transact(lambda tx: tx.ledger.post(entry))
    assert database.transact(lambda tx: tx.ledger.by_key(entry.key)) == entry


def test_what_is_not_there_comes_back_as_none(database: Database) -> None:
    keep(database, a_created(1))
    assert the_session(database) == a_created(1)


@given(millionths=st.lists(st.integers(0, 2**53 * 100), min_size=1, max_size=5))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_money_is_exact_however_large(database: Database, millionths: list[int]) -> None:
    amounts = [Decimal(n).scaleb(-6) for n in millionths]

    def post(tx: Transaction) -> None:
        for n, amount in enumerate(amounts):
            tx.ledger.post(_credit(f"k{n}", amount))
        back = [entry.amount for entry in reversed(tx.ledger.of_account("acme"))]
        balance = tx.ledger.balance("acme")
        raise Undone(back, balance)  # the ledger keeps what is committed

    with pytest.raises(Undone) as undone:
        database.transact(post)
    assert undone.value.args == (amounts, sum(amounts))


@pytest.mark.parametrize(
    "amount",
    [
        pytest.param(Decimal("0.0000001"), id="a tenth of a millionth"),
        pytest.param(Decimal("1.0000000000000000000000000000001"), id="a difference beyond 28 digits"),
        pytest.param(Decimal("NaN"), id="no number"),
    ],
)
def test_money_finer_than_a_millionth_is_refused(database: Database, amount: Decimal) -> None:
    with pytest.raises(StatementError, match="finer than a millionth"):
        keep(database, an_account("other", balance=amount))


def test_money_beyond_the_column_is_refused_and_never_cut(database: Database) -> None:
    with pytest.raises((StatementError, OverflowError)):
        keep(database, an_account("other", balance=Decimal(10) ** 13))


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    elsewhere = datetime(2025, 7, 1, 1, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    keep(database, a_created(1, created_at=elsewhere))
    found = the_session(database).created_at
    assert found == elsewhere
    assert found.utcoffset() == timedelta(0)


def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError):
        keep(database, a_created(1, created_at=datetime(2025, 7, 1)))  # noqa: DTZ001


def test_the_databases_own_clock_is_aware_and_in_utc(database_url: str) -> None:
    database = Database(database_url)
    now = database.transact(lambda tx: tx.now())
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    database.dispose()


def test_enums_are_stored_by_value(database: Database) -> None:
    keep(database, a_created(1, state=State.CREATED))
    stored = database.transact(
        lambda tx: tx.connection.execute(text("SELECT state, on_quota FROM sessions")).one()
    )
    assert tuple(stored) == ("created", "reject")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("sessions", "running_since = NULL, state"),
        ("sessions", "on_quota"),
        ("sessions", "next_step"),
        ("sessions", "stop_reason"),
        ("sessions", "stop_at_reason"),
        ("sessions", "last_verdict"),
        ("placements", "state"),
        ("placements", "next_step"),
        ("placements", "model_type"),
        ("accounts", "next_step"),
        ("models", "type"),
        ("models", "source"),
    ],
)
def test_unknown_values_are_kept_out_of_enums(database: Database, table: str, column: str) -> None:
    session = filled(Session, account_id="acme", model_id="llama", id=session_id(1), state=State.RUNNING)
    keep(database, session, filled(Placement, session_id=session_id(1), state=PlacementState.CLOSED))
    with pytest.raises(IntegrityError, match=f"ck_{table}_{column.rsplit(maxsplit=1)[-1]}_known"):
        run(database, f"UPDATE {table} SET {column} = 'no member'")


def test_an_attached_endpoint_without_an_end_comes_back(database: Database) -> None:
    attach = Attach(endpoint_url="https://x/v1", secret_ref="env:X", model="m")
    keep(database, replace(a_created(1), attach=attach))
    assert the_session(database).attach == attach


def _credit(key: str, amount: Decimal) -> Entry:
    return Entry(
        key=key,
        at=T0,
        account_id="acme",
        kind="credit",
        debit="granted",
        credit=book_of("acme"),
        amount=amount,
        currency="USD",
    )
