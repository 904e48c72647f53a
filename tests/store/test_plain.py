"""The plain tables are those of the schema, and their instants are SQLModel's."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel.sql.sqltypes import UTCDateTime

from orchestrator.store import plain
from orchestrator.store.core.columns import UtcDateTime
from orchestrator.store.tables import metadata
from tests.tools import plain_tables

DIALECTS = [postgresql.dialect(), sqlite.dialect()]  # type: ignore[no-untyped-call]
AT = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))


def test_the_plain_tables_are_those_of_the_schema() -> None:
    assert plain_tables.texts() == plain_tables.written(), "run `python -m tests.tools.plain_tables`"


def test_every_table_of_the_schema_is_found_by_its_name() -> None:
    found = {table.name: [column.name for column in table.columns] for table in plain.all_tables()}
    assert found == {name: [c.name for c in table.columns] for name, table in metadata.tables.items()}
    assert {name: plain.table_of(name).name for name in found} == {name: name for name in found}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("value", [None, AT, AT.replace(tzinfo=None)])
def test_an_instant_is_read_as_sqlmodel_reads_it(dialect: object, value: datetime | None) -> None:
    ours, theirs = UtcDateTime(), UTCDateTime()
    assert ours.process_result_value(value, dialect) == theirs.process_result_value(value, dialect)  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_instant_is_written_as_sqlmodel_writes_it(dialect: object) -> None:
    ours, theirs = UtcDateTime(), UTCDateTime()
    assert ours.process_bind_param(AT, dialect) == theirs.process_bind_param(AT, dialect)  # type: ignore[arg-type]
    assert ours.process_bind_param(AT, dialect) == AT.astimezone(UTC)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="time zone"):
        ours.process_bind_param(AT.replace(tzinfo=None), dialect)  # type: ignore[arg-type]
