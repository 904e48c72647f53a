"""The operator's message about an unusable SQLite file: what is wrong, where, and what to do."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store.core.error_classes import ErrorClass
from orchestrator.store.core.remedies import CHECK_THE_URL, file_fault, remedy
from orchestrator.store.database import Database, StoreOutage, StoreUnavailable
from orchestrator.store.transaction import Transaction


@pytest.fixture
def file(sqlite_url: str, tmp_path: Path) -> Path:
    """Return an intact database, in a directory of its own."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "orchestrator.db"
    shutil.copy(sqlite_url.removeprefix("sqlite:///"), path)
    return path


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Take one right of this user away, as far as this process asks: tests may run as root, who has all."""
    forbidden: list[tuple[Path, int]] = []
    access = os.access

    def answer(path: Any, mode: int, **options: Any) -> bool:
        return not any(Path(path) == one and mode & right for one, right in forbidden) and access(
            path, mode, **options
        )

    monkeypatch.setattr(os, "access", answer)
    return lambda path, right: forbidden.append((path, right))


def test_a_file_in_order_has_no_fault(file: Path) -> None:
    assert file_fault(file) is None


@pytest.mark.parametrize(
    ("which", "right", "words"),
    [
        ("data", os.X_OK, "cannot enter the directory {file.parent}"),
        ("data", os.W_OK, "cannot write the directory {file.parent}, where SQLite keeps orchestrator.db-wal"),
        ("data/orchestrator.db", os.R_OK, "cannot read {file}:"),
        ("data/orchestrator.db", os.W_OK, "cannot write {file}:"),
        ("data/orchestrator.db-wal", os.W_OK, "cannot write {file}-wal:"),
        ("data/orchestrator.db-shm", os.W_OK, "cannot write {file}-shm:"),
    ],
)
def test_a_right_that_is_missing_is_named(
    file: Path, forbid: Callable[[Path, int], None], which: str, right: int, words: str
) -> None:
    path = file.parents[1] / which
    path.touch()
    forbid(path, right)
    for meaning, said in (
        (ErrorClass.MISSING, "unable to open database file"),
        (ErrorClass.READ_ONLY, "attempt to write a readonly database"),
    ):
        advice = remedy(meaning, file, said)
        assert words.format(file=file) in advice
        assert f"uid {os.geteuid()}" in advice
        assert "change its owner or mode" in advice


def test_a_file_system_that_is_mounted_read_only_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "statvfs", lambda _path: ReadOnly)
    assert "is mounted read-only" in remedy(
        ErrorClass.READ_ONLY, file, "attempt to write a readonly database"
    )


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("absent/orchestrator.db", "absent does not exist"),
        ("data", "data is a directory and must be a file"),
        ("data/orchestrator.db/inside.db", "orchestrator.db is not a directory"),
    ],
)
def test_a_path_that_is_no_file_is_named(file: Path, path: str, words: str) -> None:
    database = Database(f"sqlite:///{file.parents[1] / path}")
    with pytest.raises(StoreUnavailable) as found:
        database.check_reachable()
    database.dispose()
    assert words in str(found.value)
    assert "Check ORCHESTRATOR_DATABASE_URL" not in str(found.value)


def test_an_absent_file_is_named_with_its_directory(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'absent' / 'orchestrator.db'}")
    with pytest.raises(
        StoreUnavailable, match=r"orchestrator.db cannot be opened. The directory .*absent does not exist"
    ):
        database.check()


@pytest.mark.parametrize(
    ("meaning", "message", "words"),
    [
        (ErrorClass.OVERLOADED, "database or disk is full", "Free space on the file system of {file}"),
        (ErrorClass.OVERLOADED, "out of memory", "Free memory"),
        (ErrorClass.MISSING, "unable to open database file", "too many files open"),
        (ErrorClass.MISSING, "file is not a database", CHECK_THE_URL),
        (ErrorClass.DOWN, "disk I/O error", "Look at the file system"),
        (ErrorClass.CONTENDED, "database is locked", ""),
        (ErrorClass.NOT_MIGRATED, "no such table: x", CHECK_THE_URL),
    ],
)
def test_what_is_done_about_a_file_without_a_fault(
    file: Path, meaning: ErrorClass, message: str, words: str
) -> None:
    advice = remedy(meaning, file, message)
    assert words.format(file=file) in advice
    assert bool(advice) is bool(words)


@pytest.mark.parametrize(
    ("meaning", "words"),
    [
        (ErrorClass.OVERLOADED, "Free space on the server's disk, or raise its max_connections"),
        (ErrorClass.READ_ONLY, ""),
        (ErrorClass.DOWN, CHECK_THE_URL),
        (None, CHECK_THE_URL),
    ],
)
def test_what_is_done_about_a_server(meaning: ErrorClass | None, words: str) -> None:
    assert remedy(meaning, None, "words").startswith(words)


def test_a_full_disk_says_where_space_is_needed(file: Path) -> None:
    database = Database(f"sqlite:///{file}")

    def fill(tx: Transaction) -> None:
        pages = tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        tx.connection.exec_driver_sql(
            "INSERT INTO leases (name, holder, fence, until, at) VALUES (hex(randomblob(400000)), '', 0, '', '')"
        )

    with pytest.raises(StoreOutage) as full:
        database.transact(fill)
    database.dispose()
    assert full.value.remedy == f"Free space on the file system of {file}"
