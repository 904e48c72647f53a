"""What an operator can do about a database that cannot be used."""

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.store.core.error_classes import ErrorClass

_URL = "ORCHESTRATOR_DATABASE_URL"
CHECK_THE_URL = f"Check {_URL}"
#: Remedies for a server, unless its URL is wrong. Empty: the error alone says enough.
_OF_SERVER: Mapping[ErrorClass, str] = {
    ErrorClass.READ_ONLY: "",
    ErrorClass.OVERLOADED: "Free space on the server's disk, or raise its max_connections (or the pooler's limits)",
    ErrorClass.OWN_LIMIT: "",
    ErrorClass.CONTENDED: "",
}
#: SQLite's errors that may be caused by the file, its directory or its file system.
_OF_FILES = frozenset({ErrorClass.MISSING, ErrorClass.READ_ONLY, ErrorClass.NO_RIGHTS, ErrorClass.DOWN})
#: Endings of the files that SQLite keeps beside the database.
_JOURNALS = ("-wal", "-shm")


def remedy(meaning: ErrorClass | None, file: Path | None, message: str) -> str:
    """Return what to do, as one sentence. `file`: of a SQLite database; `message`: the database's own words."""
    if file is None:
        return CHECK_THE_URL if meaning is None else _OF_SERVER.get(meaning, CHECK_THE_URL)
    if meaning is ErrorClass.OVERLOADED:
        full = "full" in message
        return f"Free space on the file system of {file}" if full else "Free memory on this machine"
    if meaning in _OF_FILES:
        return file_fault(file) or _of_usable_file(message)
    return "" if meaning in _OF_SERVER else CHECK_THE_URL


def file_fault(file: Path) -> str | None:
    """Return why this process cannot use the file as a SQLite database, and what to do; None if it can."""
    return _fault_of_directory(file.parent) or _fault_of_file(file) or _fault_of_writes(file)


def _fault_of_directory(directory: Path) -> str | None:
    if os.path.isdir(directory):  # pathlib would raise if a parent directory may not be entered
        enters = os.access(directory, os.X_OK)
        return (
            None if enters else f"{_user()} cannot enter the directory {directory}: change its owner or mode"
        )
    if os.path.exists(directory):
        return f"{directory} is not a directory: correct {_URL}"
    return f"The directory {directory} does not exist or cannot be entered: create it, or correct {_URL}"


def _fault_of_file(file: Path) -> str | None:
    if file.is_dir():
        return f"{file} is a directory and must be a file: correct {_URL}"
    if os.statvfs(file.parent).f_flag & os.ST_RDONLY:
        return f"The file system of {file} is mounted read-only: mount it writable"
    if file.exists() and not os.access(file, os.R_OK):
        return f"{_user()} cannot read {file}: change its owner or mode"
    return None


def _fault_of_writes(file: Path) -> str | None:
    for one in (file, *(file.with_name(file.name + suffix) for suffix in _JOURNALS)):
        if one.exists() and not os.access(one, os.W_OK):
            return f"{_user()} cannot write {one}: change its owner or mode"
    if not os.access(file.parent, os.W_OK):
        return (
            f"{_user()} cannot write the directory {file.parent}, where SQLite keeps {file.name}-wal beside the"
            " database: change its owner or mode"
        )
    return None


def _of_usable_file(message: str) -> str:
    if "unable to open" in message:
        return "The file can be opened now: this process may have had too many files open (`ulimit -n`)"
    return CHECK_THE_URL if "not a database" in message else "Look at the file system and its disk (`dmesg`)"


def _user() -> str:
    return f"This user (uid {os.geteuid()})"
