"""Checks of the database."""

from typing import TYPE_CHECKING

from orchestrator.cli.failures import Complaint
from orchestrator.cli.reading import reading

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def reachable(settings: "Settings") -> str:
    """Does it answer?"""
    from orchestrator.settings import redacted_url

    with reading():
        return redacted_url(settings.database_url)


def revision(_settings: "Settings") -> str:
    """Does its schema fit this release?"""
    from orchestrator.store import migrate

    with reading() as tx:
        missing = [index.name for index in migrate.missing_indexes(tx.connection)]
        said = migrate.fit(tx.connection)
        installation = tx.installation.known()
    if missing:
        raise Complaint(f"indexes are missing ({', '.join(map(str, missing))}): run `orchestrator migrate`")
    told = said or migrate.newest()
    return f"{told}; what this installation opens is named {installation}-…" if installation else told
