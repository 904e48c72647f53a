"""Named queries of the export: entries that say what sessions have cost, in the ledger or in its archive."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, literal_column, select, union_all

from orchestrator.rules.billing.focus import ChargedSession, ChargeEntry
from orchestrator.rules.values import Placement, Session
from orchestrator.store.core.conditions import OF_SESSIONS
from orchestrator.store.core.rows import snapshot
from orchestrator.store.plain import table_of
from orchestrator.store.queries.archive import ARCHIVED, ARCHIVED_LEDGER
from orchestrator.store.queries.archive_records import placements_in, session_in
from orchestrator.store.queries.ledger import LEDGER

_SESSIONS, _PLACEMENTS = table_of("sessions"), table_of("placements")
_NAMES = ("id", "at", "account_id", "session_id", "kind", "amount", "currency", "note")


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryRange:
    """Which entries are wanted: after the first id and up to the last, of this time and, perhaps, of one account."""

    after: int
    last: int
    since: datetime
    until: datetime
    account_id: str | None = None


class ChargeEntries:
    """Queries of the export, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def page(self, wanted: EntryRange, limit: int) -> Sequence[ChargeEntry]:
        """Return the next entries by id. One statement reads the ledger and its archive: an entry that moves meanwhile
        is in one of them."""
        both = union_all(_of(LEDGER, wanted, limit), _of(ARCHIVED_LEDGER, wanted, limit)).subquery()
        rows = self._connection.execute(select(both).order_by(both.c.id).limit(limit))
        return [snapshot(ChargeEntry, row) for row in rows]

    def sessions(self, ids: Collection[str]) -> Mapping[str, ChargedSession]:
        """Return session id → what the export says about it. Sessions of which no record is left are missing."""
        live = self._connection.execute(select(_SESSIONS).where(_SESSIONS.c.id.in_(ids)))
        found = {row.id: snapshot(Session, row) for row in live}
        placements: dict[str, list[Placement]] = {session_id: [] for session_id in found}
        mine = select(_PLACEMENTS).where(_PLACEMENTS.c.session_id.in_(found)).order_by(_PLACEMENTS.c.n)
        for row in self._connection.execute(mine):
            placements[row.session_id].append(snapshot(Placement, row))
        charged = {one.id: _charged(one, placements[one.id]) for one in found.values()}
        return charged | self._archived(set(ids) - found.keys())

    def _archived(self, ids: Collection[str]) -> dict[str, ChargedSession]:
        query = select(ARCHIVED.c.id, ARCHIVED.c.record).where(ARCHIVED.c.id.in_(ids))
        kept = [row for row in self._connection.execute(query) if row.record is not None] if ids else []
        return {row.id: _charged(session_in(row.record), placements_in(row.record)) for row in kept}


def _of(table: Table, wanted: EntryRange, limit: int) -> Any:
    conditions = [
        table.c.id > wanted.after,
        table.c.id <= wanted.last,
        table.c.at >= wanted.since,
        table.c.at < wanted.until,
        literal_column(f"{table.name}.kind IN {OF_SESSIONS}"),
    ]
    if wanted.account_id is not None:
        conditions.append(table.c.account_id == wanted.account_id)
    columns = [table.c[name] for name in _NAMES]
    return select(select(*columns).where(*conditions).order_by(table.c.id).limit(limit).subquery())


def _charged(session: Session, placements: Sequence[Placement]) -> ChargedSession:
    return ChargedSession(
        id=session.id,
        name=session.name,
        model_id=session.model_id,
        nodes=session.nodes,
        price_per_node_hour=session.price_per_node_hour,
        metadata=session.metadata,
        placements=tuple((one.created_at, one.provider) for one in placements),
    )
