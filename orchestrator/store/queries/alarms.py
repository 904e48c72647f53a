"""Named queries over open alarms: about providers, keys and models, and about the installation itself."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from orchestrator.rules.installation.installation_alarms import InstallationAlarm, InstallationAlarmKind
from orchestrator.rules.upstream.alarms import Alarm, AlarmKind, retry_at
from orchestrator.store.core.rows import snapshot, values_of
from orchestrator.store.plain import table_of

ALARMS = table_of("alarms")


class Alarms:
    """Queries and changes of alarms, inside one transaction. Their locks are taken after all others."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def listed(self) -> Sequence[Alarm]:
        """Return every open alarm."""
        return [
            snapshot(Alarm, row) for row in self._connection.execute(select(ALARMS).order_by(ALARMS.c.scope))
        ]

    def raise_(self, alarm: Alarm) -> bool:
        """Open the alarm. Return False if it was open already; then only the time of its last report is updated."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(ALARMS).values(**values_of(alarm)).on_conflict_do_nothing()
        if self._connection.execute(statement.returning(ALARMS.c.scope)).first() is not None:
            return True
        self._see_again(alarm)
        return False

    def end(self, scopes: Collection[str]) -> set[str]:
        """End the alarms of these scopes; return the scopes that had one."""
        if not scopes:
            return set()
        gone = delete(ALARMS).where(ALARMS.c.scope.in_(sorted(scopes))).returning(ALARMS.c.scope)
        return set(self._connection.execute(gone).scalars())

    def forget(self, before: datetime) -> Sequence[Alarm]:
        """Delete the alarms that were not seen since then, and return them."""
        gone = delete(ALARMS).where(ALARMS.c.seen_at < before).returning(ALARMS)
        return [snapshot(Alarm, row) for row in self._connection.execute(gone)]

    def keys_refusing(self, provider: str, model_id: str) -> set[str]:
        """Return the credentials of `provider` that take no new placement of this model now."""
        query = select(ALARMS.c.credential).where(
            ALARMS.c.kind == AlarmKind.MODEL_PAUSED,
            ALARMS.c.provider == provider,
            ALARMS.c.model_id == model_id,
            ALARMS.c.retry_at.is_not(None),
        )
        return set(self._connection.execute(query).scalars())

    def let_retry(self, now: datetime) -> Sequence[Alarm]:
        """Let paused models be retried once their `retry_at` has passed; return their alarms, each once."""
        due = update(ALARMS).where(ALARMS.c.retry_at <= now).values(retry_at=None).returning(ALARMS)
        return [snapshot(Alarm, row) for row in self._connection.execute(due)]

    def _see_again(self, alarm: Alarm) -> None:
        """Update an alarm that is open. If it was being retried, begin a new, longer wait; if it still waits, keep its
        `retry_at`."""
        mine = ALARMS.c.scope == alarm.scope
        seen = update(ALARMS).where(mine).values(seen_at=alarm.seen_at, reason=alarm.reason)
        row = self._connection.execute(seen.returning(ALARMS.c.refusals, ALARMS.c.retry_at)).first()
        if row is None or row.retry_at is not None or alarm.retry_at is None:
            return
        refusals = row.refusals + 1
        again = retry_at(alarm.kind, refusals, alarm.seen_at)
        self._connection.execute(update(ALARMS).where(mine).values(refusals=refusals, retry_at=again))


INSTALLATION_ALARMS = table_of("installation_alarms")


class InstallationAlarms:
    """Queries and changes, inside one transaction. Their locks come after all others."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def listed(self, kind: InstallationAlarmKind | None = None) -> Sequence[InstallationAlarm]:
        """Return the open alarms, of one kind or of all, in the order of kind and subject."""
        query = select(INSTALLATION_ALARMS).order_by(INSTALLATION_ALARMS.c.kind, INSTALLATION_ALARMS.c.about)
        if kind is not None:
            query = query.where(INSTALLATION_ALARMS.c.kind == kind)
        return [snapshot(InstallationAlarm, row) for row in self._connection.execute(query)]

    def open(self, alarm: InstallationAlarm) -> bool:
        """Open the alarm, or note that it was seen again. Return True if it was not open before."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(INSTALLATION_ALARMS).values(**values_of(alarm))
        again = {
            "seen_at": statement.excluded.seen_at,
            "reason": statement.excluded.reason,
            "times_seen": INSTALLATION_ALARMS.c.times_seen + statement.excluded.times_seen,
        }
        keys = [INSTALLATION_ALARMS.c.kind, INSTALLATION_ALARMS.c.about]
        upsert = statement.on_conflict_do_update(index_elements=keys, set_=again)
        seen: int = self._connection.execute(upsert.returning(INSTALLATION_ALARMS.c.times_seen)).scalar_one()
        return seen == alarm.times_seen

    def close(self, kind: InstallationAlarmKind, *about: str) -> Sequence[InstallationAlarm]:
        """Close the alarms of this kind about any of these. Return those that were open, as they were."""
        gone = (
            delete(INSTALLATION_ALARMS)
            .where(INSTALLATION_ALARMS.c.kind == kind, INSTALLATION_ALARMS.c.about.in_(about))
            .returning(INSTALLATION_ALARMS)
        )
        found = (snapshot(InstallationAlarm, row) for row in self._connection.execute(gone))
        return sorted(found, key=lambda alarm: about.index(alarm.about))

    def close_unseen(self, kind: InstallationAlarmKind, before: datetime) -> Sequence[InstallationAlarm]:
        """Close the alarms of this kind that were last seen before `before`, and return them."""
        gone = (
            delete(INSTALLATION_ALARMS)
            .where(INSTALLATION_ALARMS.c.kind == kind, INSTALLATION_ALARMS.c.seen_at < before)
            .returning(INSTALLATION_ALARMS)
        )
        return [snapshot(InstallationAlarm, row) for row in self._connection.execute(gone)]
