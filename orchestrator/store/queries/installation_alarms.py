"""Named queries over the alarms of the installation."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.installation.installation_alarms import InstallationAlarm, InstallationAlarmKind
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of

ALARMS = table_of("installation_alarms")


class InstallationAlarms:
    """Queries and changes, inside one transaction. Their locks come after all others."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def listed(self, kind: InstallationAlarmKind | None = None) -> Sequence[InstallationAlarm]:
        """Return the open alarms, of one kind or of all, in the order of kind and subject."""
        query = select(ALARMS).order_by(ALARMS.c.kind, ALARMS.c.about)
        if kind is not None:
            query = query.where(ALARMS.c.kind == kind)
        return [snapshot(InstallationAlarm, row) for row in self._connection.execute(query)]

    def open(self, alarm: InstallationAlarm) -> bool:
        """Open the alarm, or note that it was seen again. Return True if it was not open before."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(ALARMS).values(**values_of(alarm))
        again = {
            "seen_at": statement.excluded.seen_at,
            "reason": statement.excluded.reason,
            "times_seen": ALARMS.c.times_seen + statement.excluded.times_seen,
        }
        keys = [ALARMS.c.kind, ALARMS.c.about]
        upsert = statement.on_conflict_do_update(index_elements=keys, set_=again)
        seen: int = self._connection.execute(upsert.returning(ALARMS.c.times_seen)).scalar_one()
        return seen == alarm.times_seen

    def close(self, kind: InstallationAlarmKind, *about: str) -> Sequence[InstallationAlarm]:
        """Close the alarms of this kind about any of these. Return those that were open, as they were."""
        gone = delete(ALARMS).where(ALARMS.c.kind == kind, ALARMS.c.about.in_(about)).returning(ALARMS)
        found = (snapshot(InstallationAlarm, row) for row in self._connection.execute(gone))
        return sorted(found, key=lambda alarm: about.index(alarm.about))

    def close_unseen(self, kind: InstallationAlarmKind, before: datetime) -> Sequence[InstallationAlarm]:
        """Close the alarms of this kind that were last seen before `before`, and return them."""
        gone = delete(ALARMS).where(ALARMS.c.kind == kind, ALARMS.c.seen_at < before).returning(ALARMS)
        return [snapshot(InstallationAlarm, row) for row in self._connection.execute(gone)]
