"""Open alarms: about providers, and about the installation itself."""

from datetime import datetime

from sqlmodel import Field

from orchestrator.rules.upstream.alarms import AlarmKind
from orchestrator.store.core.columns import enum, one_of
from orchestrator.store.tables.base import Row


class WaitRow(Row, table=True):
    """A rate limit on a provider without credentials, for every model; a credential has its own."""

    __tablename__ = "waits"

    provider: str = Field(primary_key=True)
    until: datetime


class ModelWaitRow(Row, table=True):
    """A rate limit on a model under a credential ("": without one); other credentials may serve it."""

    __tablename__ = "model_waits"

    provider: str = Field(primary_key=True)
    credential: str = Field(primary_key=True)
    model_id: str = Field(primary_key=True)
    until: datetime


class AlarmRow(Row, table=True):
    """The fields of `rules.alarms.Alarm`, one to one. There are few rows; one is deleted when its cause is over."""

    __tablename__ = "alarms"
    __table_args__ = (one_of("kind", AlarmKind),)

    scope: str = Field(primary_key=True)
    kind: AlarmKind = Field(sa_column=enum(AlarmKind))
    provider: str
    credential: str | None = None
    model_id: str | None = None
    since: datetime
    seen_at: datetime
    reason: str
    refusals: int
    retry_at: datetime | None = None


class InstallationAlarmRow(Row, table=True):
    """The fields of `rules.installation_alarms.InstallationAlarm`, one to one; deleted when the alarm is closed."""

    __tablename__ = "installation_alarms"

    kind: str = Field(primary_key=True)
    about: str = Field(primary_key=True)
    since: datetime
    seen_at: datetime
    reason: str
    times_seen: int
