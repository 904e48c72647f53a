"""Checks of the database."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import Doubt
from orchestrator.cli.shared.failures import Complaint
from orchestrator.cli.shared.reading import opened, reading

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def reachable(settings: "Settings") -> str:
    """Check that the database answers."""
    from orchestrator.rules.installation.secret_texts import redacted_url

    with reading():
        return redacted_url(settings.database_url)


def file_mode(settings: "Settings") -> str:
    """Check that only the owner can read the database's file: it holds accounts, endpoints and prices."""
    from orchestrator import wiring

    path = wiring.open_database(settings, pool_size=1).file
    if path is None:
        return "the database is a server"
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise Doubt(f"{path} has mode {mode:04o}: other users can read it; run `chmod 600 {path}*`")
    return f"mode {mode:04o}"


def writes(_settings: "Settings") -> str:
    """Write one row: reads alone would succeed on a standby or a full disk."""
    with opened() as database:
        database.check_writes()
    return "a row was written"


def timeouts(_settings: "Settings") -> str:
    """Read the timeouts at the server, in a transaction like every other."""
    with opened() as database:
        if database.engine.dialect.name != "postgresql":
            return "SQLite has only its lock timeout"
        found, pooled = database.timeouts()
    return described_timeouts(found, pooled=pooled)


def described_timeouts(found: Mapping[str, str], *, pooled: bool) -> str:
    """Return the timeouts in force at the server. Raises Complaint if they differ from what every transaction needs."""
    from orchestrator.store.core.pooler import TIMEOUTS

    how = "through a pooler, set with each transaction" if pooled else "a direct connection"
    wrong = [
        f"{name} is {found[name]}, not {wanted}" for name, wanted in TIMEOUTS.items() if found[name] != wanted
    ]
    if wrong:
        raise Complaint(
            f"{'; '.join(wrong)} ({how}): something between this machine and the server drops them"
        )
    return f"{', '.join(f'{name} {value}' for name, value in found.items())}; {how}"


def revision(_settings: "Settings") -> str:
    """Check that the database's schema fits this release."""
    from orchestrator.store import migrate

    with reading() as tx:
        missing = [index.name for index in migrate.missing_indexes(tx.connection)]
        unused = migrate.unused_indexes(tx.connection)
        said = migrate.fit(tx.connection)
        installation = tx.installation.known()
    if missing:
        raise Complaint(f"indexes are missing ({', '.join(map(str, missing))}): run `orchestrator migrate`")
    at = said or migrate.newest()
    if unused:
        at += f"; once no older worker runs, `orchestrator migrate` drops {' and '.join(unused)}"
    return f"{at}; what this installation opens is named {installation}-…" if installation else at
