"""Secrets are found by reference, and never shown."""

import os
import time
from pathlib import Path

import pytest

from orchestrator.settings import Fault, SecretStore, secrets


def test_a_variable_is_looked_up_at_each_use() -> None:
    environ = {"KEY": "one\n"}
    store = SecretStore(environ)
    assert store.get("env:KEY") == "one"
    environ["KEY"] = "two"
    assert store.get("env:KEY") == "two"


def test_a_file_loses_the_newline_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("value \r\n")
    assert SecretStore({}).get(f"file:{tmp_path}/key") == "value "


def test_a_file_is_read_again_when_it_has_changed_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text("one")
    clock = [time.time() + 60]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    store, ref = SecretStore({}), f"file:{path}"
    assert store.get(ref) == "one"
    with monkeypatch.context() as reads:
        reads.setattr(secrets, "_read", lambda _: pytest.fail("an unchanged file was read again"))
        assert [store.get(ref) for _ in range(3)] == ["one"] * 3
        assert store.fingerprint(ref) == SecretStore({"A": "one"}).fingerprint("env:A")
    fresh = tmp_path / "fresh"
    fresh.write_text("two")
    os.utime(fresh, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    fresh.replace(path)  # as Kubernetes does, with the same size and time
    assert store.get(ref) == "two"
    path.unlink()
    assert store.get(ref) is None


def test_a_file_that_was_written_just_now_is_read_each_time(tmp_path: Path) -> None:
    path = tmp_path / "key"
    store = SecretStore({})
    for n in range(200):  # many within one tick of the file system's clock
        path.write_text(f"{n:03}")
        assert store.get(f"file:{path}") == f"{n:03}"


def test_a_file_that_could_not_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_text("one")
    monkeypatch.setattr(time, "time", lambda: path.stat().st_ctime + 60)
    store = SecretStore({})
    with monkeypatch.context() as full:
        full.setattr(secrets, "_read", lambda _: (None, "too many open files"))
        assert store.get(f"file:{path}") is None
    assert store.get(f"file:{path}") == "one"


def test_what_is_missing_is_told_by_its_reference(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_text("x" * 70_000)
    store = SecretStore({"EMPTY": "\n", "THERE": "x"})
    refs = [
        "env:THERE",
        "env:GONE",
        "env:EMPTY",
        "sk-1",
        *(f"file:{tmp_path}/{name}" for name in ("no", "binary", "large")),
    ]
    assert store.missing(refs) == [
        Fault(("env:GONE",), "environment variable GONE is not set"),
        Fault(("env:EMPTY",), "environment variable EMPTY is empty"),
        Fault(("sk-1",), "must be env:NAME or file:/path, never the secret itself"),
        Fault((f"file:{tmp_path}/no",), f"file {tmp_path}/no cannot be read (No such file or directory)"),
        Fault((f"file:{tmp_path}/binary",), f"file {tmp_path}/binary is not UTF-8 text"),
        Fault((f"file:{tmp_path}/large",), f"file {tmp_path}/large is longer than 65536 bytes"),
    ]


def test_a_fingerprint_tells_change_and_depends_on_the_key() -> None:
    store = SecretStore({"A": "one", "B": "one", "C": "two"})
    keyed = SecretStore({"A": "one", "ORCHESTRATOR_FINGERPRINT_KEY": "k"})
    print_of_a = store.fingerprint("env:A")
    assert print_of_a is not None
    assert len(print_of_a) == 32
    assert print_of_a == store.fingerprint("env:B")
    assert len({print_of_a, store.fingerprint("env:C"), keyed.fingerprint("env:A")}) == 3
    assert keyed.fingerprint("env:A") == SecretStore({"A": "one"}, fingerprint_key="k").fingerprint("env:A")
    assert store.fingerprint("env:GONE") is None


def test_a_store_shows_nothing() -> None:
    assert "one" not in repr(SecretStore({"A": "one"}))


def test_a_process_remembers_every_secret_that_it_has_looked_up() -> None:
    environ = {"A": "one", "B": "two"}
    store = SecretStore(environ)
    assert store.resolved() == frozenset()
    store.fingerprint("env:A")
    environ["A"] = "another"
    store.get("env:A")
    store.get("env:MISSING")
    assert store.resolved() == {"one", "another"}, "the old one may still be echoed"


def test_a_secret_is_given_out_only_under_its_fingerprint() -> None:
    environ = {"A": "one"}
    store = SecretStore(environ)
    first = store.fingerprint("env:A") or ""
    assert store.matching("env:A", first) == "one"
    environ["A"] = "two"
    assert store.matching("env:A", first) is None
    assert store.matching("env:A", store.fingerprint("env:A") or "") == "two"
    assert store.matching("env:GONE", first) is None
