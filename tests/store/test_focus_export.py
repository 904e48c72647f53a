"""The export of the ledger as FOCUS rows: every entry of a session once, whatever has left for the archive."""

import csv
import io
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from orchestrator.flows.reports import focus_export
from orchestrator.flows.reports.focus_export import export, focus_pages, write_csv
from orchestrator.rules.billing.focus import COLUMNS
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.core.rows import snapshot
from orchestrator.store.database import Database
from orchestrator.store.queries.ledger import LEDGER, Entry, book_of
from tests.emptying import unguarded
from tests.rules.builders import T0
from tests.store.stage import a_created, a_placement, an_account, keep, run, session_id

FIRST, LAST = date(2020, 1, 1), date(2030, 1, 1)
DAY = timedelta(days=1)
KINDS = ("charge", "charge", "reversal", "write_off", "credit")


def entry(n: int, kind: str, micros: int, of: int, days: float) -> Entry:
    """Return entry `n`, of session `of`, posted this many days after T0."""
    account = "acme" if of % 2 else "b"
    return Entry(
        key=f"{kind}:{n}",
        at=T0 + days * DAY,
        account_id=account,
        session_id=None if kind == "credit" else session_id(of),
        kind=kind,
        debit=book_of(account) if kind == "charge" else "revenue",
        credit="revenue" if kind == "charge" else book_of(account),
        amount=Decimal(micros).scaleb(-6),
        currency="USD",
        note="=1+1" if kind == "reversal" else "",
    )


def stock(database: Database, entries: Sequence[Entry] = ()) -> None:
    """Insert three sessions of two accounts, and these entries."""
    keep(database, an_account("b"))
    for n in (1, 2, 3):
        account = "acme" if n % 2 else "b"
        keep(database, a_created(n, account_id=account, metadata={"team": "red"}))
        keep(database, a_placement(n, account_id=account))
    database.transact(lambda tx: tx.ledger.post_all(entries))


def rows(database: Database, since: date = FIRST, until: date = LAST, **which: Any) -> list[Any]:
    return [row for page in focus_pages(database, since, until, **which) for row in page]


def paid(entries: Sequence[Entry]) -> Decimal:
    """Return what accounts paid for their sessions by these entries."""
    moves = [one for one in entries if one.kind != "credit"]
    return sum((one.amount if one.kind == "charge" else -one.amount for one in moves), Decimal(0))


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(1, 10**13),
        st.integers(1, 3),
        st.floats(-40, 40, allow_nan=False),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=ENTRIES, days=st.tuples(st.integers(-41, 41), st.integers(0, 41)))
def test_the_sums_are_those_of_the_ledger(
    on_sqlite: Database, drawn: list[tuple[str, int, int, float, bool]], days: tuple[int, int]
) -> None:
    """Of every span of days, for all accounts and for one, with entries in the ledger and in its archive."""
    focus_export.PAGE, whole = 3, focus_export.PAGE
    entries = [entry(n, *one[:4]) for n, one in enumerate(drawn)]
    moved = tuple(one.key for one, (*_, leaves) in zip(entries, drawn, strict=True) if leaves)
    since = T0.date() + days[0] * DAY
    until = since + days[1] * DAY
    try:
        if not on_sqlite.transact(lambda tx: tx.accounts.get("b")):
            stock(on_sqlite)
        on_sqlite.transact(lambda tx: tx.ledger.post_all(entries))
        for key in moved:
            run(on_sqlite, "INSERT INTO archived_ledger SELECT * FROM ledger WHERE key = :key", key=key)
            run(on_sqlite, "DELETE FROM ledger WHERE key = :key", key=key)
        wanted = [one for one in entries if since <= one.at.date() < until]
        found = rows(on_sqlite, since, until)
        assert sum((row["BilledCost"] for row in found), Decimal(0)) == paid(wanted)
        ids = [int(row["x_LedgerEntryId"]) for row in found]
        assert ids == sorted(set(ids))
        mine = rows(on_sqlite, since, until, account_id="b")
        assert sum((row["BilledCost"] for row in mine), Decimal(0)) == paid(
            [one for one in wanted if one.account_id == "b"]
        )
    finally:
        focus_export.PAGE = whole
        _forget(on_sqlite)


def _forget(database: Database) -> None:
    """Delete every entry, for the next example."""
    with database.engine.begin() as connection, unguarded(connection):
        for table in ("ledger", "archived_ledger", "daily_costs", "archived_books"):
            connection.exec_driver_sql(f"DELETE FROM {table}")


def test_csv_and_parquet_hold_the_same(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(focus_export, "PAGE", 2)
    stock(database, [entry(n, KINDS[n % 5], 1_234_567 * (n + 1), n % 3 + 1, (n + 1) / 10) for n in range(10)])
    text = io.StringIO()
    assert write_csv(text, focus_pages(database, FIRST, LAST)) == 8
    lines = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert list(lines[0]) == list(COLUMNS)
    assert export(tmp_path / "all.parquet", focus_pages(database, FIRST, LAST), as_parquet=True) == 8
    table = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    with database.reading() as tx:
        entries = tx.connection.execute(LEDGER.select().order_by(LEDGER.c.id)).all()
    assert sum(row["BilledCost"] for row in table) == paid([snapshot(Entry, row) for row in entries])
    assert [Decimal(line["BilledCost"]) for line in lines] == [row["BilledCost"] for row in table]
    assert [line["ListCost"] for line in lines] == [money_text(row["BilledCost"]) for row in table]
    assert [line["ChargePeriodStart"] for line in lines] == [
        f"{r['ChargePeriodStart']:%Y-%m-%dT%H:%M:%SZ}" for r in table
    ]
    assert {line["PublisherName"] for line in lines} == {"alpha"}
    assert {line["ChargeDescription"] for line in lines if line["x_LedgerKind"] == "reversal"} == {"'=1+1"}
    assert not list(tmp_path.glob("*.part"))


def test_a_span_without_charges_is_a_heading(database: Database, tmp_path: Path) -> None:
    stock(database)
    assert export(tmp_path / "none.csv", focus_pages(database, FIRST, LAST), as_parquet=False) == 0
    assert (tmp_path / "none.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert export(tmp_path / "none.parquet", focus_pages(database, FIRST, LAST), as_parquet=True) == 0
    assert parquet.read_table(tmp_path / "none.parquet").column_names == list(COLUMNS)


def test_a_file_is_there_once_it_is_complete(on_sqlite: Database, tmp_path: Path) -> None:
    stock(on_sqlite, [entry(1, "charge", 1, 1, 0)])
    (folder := tmp_path / "exports").mkdir()

    def broken() -> Any:
        yield from focus_pages(on_sqlite, FIRST, LAST)
        raise ConnectionError("the database went away")

    with pytest.raises(ConnectionError):
        export(folder / "half.csv", broken(), as_parquet=False)
    assert list(folder.iterdir()) == []
