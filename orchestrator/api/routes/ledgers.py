"""An account's ledger, as JSON page by page, and as CSV in one stream."""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from orchestrator.api.callers import caller_of, process_of, unknown_account
from orchestrator.api.documents import describes
from orchestrator.api.parameters import AccountId, Limit, Since
from orchestrator.api.process import ApiProcess
from orchestrator.client import resources
from orchestrator.flows.reports.account_view import ledger_line
from orchestrator.rules.text import csv_cell
from orchestrator.rules.values import Scope
from orchestrator.store.transaction import Transaction

router = APIRouter(tags=["accounts"])

CSV = "text/csv"
#: Columns of the CSV, as `account ledger --csv` has them, and how many entries are read at once.
COLUMNS = (
    "id",
    "at",
    "kind",
    "debit",
    "credit",
    "amount",
    "currency",
    "balance",
    "session_id",
    "key",
    "note",
)
BATCH = 1_000
_ALSO = {CSV: {"schema": {"type": "string"}, "example": ",".join(COLUMNS) + "\n"}}


@router.get(
    "/accounts/{account_id}/ledger",
    **describes(Scope.READ, resources.LedgerPageResource, errors=(404,), also=_ALSO),
)
async def get_ledger(
    request: Request,
    account_id: AccountId,
    limit: Limit = 50,
    after: Annotated[
        int | None, Query(ge=1, lt=2**62, description="The `next` of the previous page.")
    ] = None,
    since: Since = None,
) -> Response:
    """List every movement of the account's money with the balance after it, newest first. With `Accept: text/csv`, all
    of them in one stream."""
    process = process_of(request)
    caller_of(request).needs_account(account_id)
    wants_csv = CSV in request.headers.get("accept", "")
    size = BATCH if wants_csv else limit
    first = await process.read(lambda tx: _lines(tx, account_id, size + 1, since, after))
    if not wants_csv:
        last = str(first[limit - 1]["id"]) if len(first) > limit else None
        return JSONResponse({"items": first[:limit], "next": last})
    return _streamed(process, account_id, since, first)


async def whole_ledger(process: ApiProcess, account_id: str) -> StreamingResponse:
    """Return the whole ledger as CSV, in one stream."""
    first = await process.read(lambda tx: _lines(tx, account_id, BATCH + 1, None, None))
    return _streamed(process, account_id, None, first)


def _streamed(
    process: ApiProcess, account_id: str, since: datetime | None, first: Sequence[Mapping[str, Any]]
) -> StreamingResponse:
    """Return the ledger as CSV, as it is read. `first`: its first entries."""
    name = f'attachment; filename="ledger-{account_id.replace(":", "-")}.csv"'
    lines = _csv(process, account_id, since, first)
    return StreamingResponse(lines, media_type=f"{CSV}; charset=utf-8", headers={"Content-Disposition": name})


async def _csv(
    process: ApiProcess, account_id: str, since: datetime | None, lines: Sequence[Mapping[str, Any]]
) -> AsyncIterator[str]:
    yield ",".join(COLUMNS) + "\n"
    while lines:
        yield _rows(lines)
        last = lines[-1]["id"]
        page = partial(_lines, account_id=account_id, limit=BATCH, since=since, before=last)
        lines = await process.read(page)


def _rows(lines: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    for line in lines:
        writer.writerow({name: csv_cell(value) for name, value in line.items()})
    return text.getvalue()


def _lines(
    tx: Transaction, account_id: str, limit: int, since: datetime | None, before: int | None
) -> list[dict[str, Any]]:
    if tx.accounts.get(account_id) is None:
        raise unknown_account(account_id)
    found = tx.ledger.lines(account_id, limit, since=since, before=before)
    return [ledger_line(line, balance) for line, balance in found]
