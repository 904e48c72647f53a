"""The ledger as FOCUS rows, read page by page, and written as CSV or Parquet as it is read."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from orchestrator.rules.billing.focus import COLUMNS, QUANTITY_PLACES, FocusType, focus_row
from orchestrator.rules.text import csv_cell
from orchestrator.rules.values.amounts import money_text
from orchestrator.store.database import Database
from orchestrator.store.queries.charge_entries import EntryRange
from orchestrator.store.transaction import Transaction

#: Entries that one short transaction reads.
PAGE = 2_000

Rows = Sequence[Mapping[str, Any]]


class ParquetMissing(Exception):
    """The library that writes Parquet is not installed."""


def focus_pages(
    database: Database, since: date, until: date, account_id: str | None = None
) -> Iterator[Rows]:
    """Yield the rows of the days from `since` on and before `until`, in the order of the ledger. Each page is one short
    transaction; the last entry is the last of the time when this begins."""
    with database.reading() as tx:
        ids = tx.costs.entries(since, until, account_id)
    if ids is None:
        return
    first, last = ids
    at = (datetime.combine(day, time(), UTC) for day in (since, until))
    wanted = EntryRange(after=first - 1, last=last, since=next(at), until=next(at), account_id=account_id)
    while True:
        with database.reading() as tx:
            page = _page(tx, wanted)
        if page:
            yield page
        if len(page) < PAGE:
            return
        wanted = replace(wanted, after=int(page[-1]["x_LedgerEntryId"]))


def write_csv(file: TextIO, pages: Iterable[Rows]) -> int:
    """Write a heading and one line for each row; return how many. Empty: null."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    number = 0
    for page in pages:
        writer.writerows([_text(value, COLUMNS[name]) for name, value in row.items()] for row in page)
        number += len(page)
    return number


def write_parquet(path: Path, pages: Iterable[Rows]) -> int:
    """Write the rows, a row group for each page; return how many. Raises ParquetMissing."""
    arrow, parquet = _arrow()
    schema = arrow.schema([(name, _arrow_type(arrow, kind)) for name, kind in COLUMNS.items()])
    number = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for page in pages:
            writer.write_table(arrow.Table.from_pylist([dict(row) for row in page], schema=schema))
            number += len(page)
    return number


def require_parquet() -> None:
    """Raise ParquetMissing where Parquet cannot be written here."""
    _arrow()


def export(path: Path, pages: Iterable[Rows], *, as_parquet: bool) -> int:
    """Write the file, which is there once it is complete; return the number of rows."""
    part = path.with_name(f"{path.name}.part")
    try:
        if as_parquet:
            number = write_parquet(part, pages)
        else:
            with part.open("w", encoding="utf-8", newline="") as file:
                number = write_csv(file, pages)
        part.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    return number


def _page(tx: Transaction, wanted: EntryRange) -> Rows:
    entries = tx.charge_entries.page(wanted, PAGE)
    sessions = tx.charge_entries.sessions({entry.session_id for entry in entries})
    return [focus_row(entry, sessions.get(entry.session_id)) for entry in entries]


def _text(value: Any, kind: FocusType) -> Any:
    match value:
        case None:
            return ""
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case Decimal() if kind is FocusType.COST:
            return money_text(value)
        case Decimal():
            return f"{value:f}"
        case _:
            return csv_cell(value)


def _arrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ModuleNotFoundError:
        raise ParquetMissing(
            "Parquet needs pyarrow, which is not installed: run pip install 'session-orchestrator[focus]', or"
            " export CSV"
        ) from None


def _arrow_type(arrow: Any, kind: FocusType) -> Any:
    match kind:
        case FocusType.COST:
            return arrow.decimal128(30, 6)
        case FocusType.QUANTITY:
            return arrow.decimal128(30, QUANTITY_PLACES)
        case FocusType.TIME:
            return arrow.timestamp("us", tz="UTC")
        case FocusType.STRING | FocusType.KEYS:
            return arrow.string()
