"""Secrets are found by reference, and never shown."""

from pathlib import Path

import pytest

from orchestrator.settings import Fault, SecretStore, is_reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("env:KEY_1", True, id="a variable"),
        pytest.param("file:/run/secrets/key", True, id="a file"),
        pytest.param("env:", False, id="a variable without a name"),
        pytest.param("env:A B", False, id="a variable's name with a blank"),
        pytest.param("env:KEY_1\n", False, id="a line break behind it"),
        pytest.param("file:key", False, id="a file somewhere"),
        pytest.param("file:/run/secrets/../key", False, id="a file by a detour"),
        pytest.param("file:/run/\x00", False, id="a file's name with NUL"),
        pytest.param("sk-1234", False, id="the secret itself"),
    ],
)
def test_references(text: str, expected: bool) -> None:
    assert is_reference(text) is expected


def test_a_variable_is_looked_up_at_each_use() -> None:
    environ = {"KEY": "one\n"}
    store = SecretStore(environ)
    assert store.get("env:KEY") == "one"
    environ["KEY"] = "two"
    assert store.get("env:KEY") == "two"


def test_a_file_loses_the_newline_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("value \r\n")
    assert SecretStore({}).get(f"file:{tmp_path}/key") == "value "


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
        Fault("env:GONE", "environment variable GONE is not set"),
        Fault("env:EMPTY", "environment variable EMPTY is empty"),
        Fault("sk-1", "must be env:NAME or file:/path, never the secret itself"),
        Fault(f"file:{tmp_path}/no", f"file {tmp_path}/no cannot be read (No such file or directory)"),
        Fault(f"file:{tmp_path}/binary", f"file {tmp_path}/binary is not UTF-8 text"),
        Fault(f"file:{tmp_path}/large", f"file {tmp_path}/large is longer than 65536 bytes"),
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
