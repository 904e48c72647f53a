"""The server of the tests starts on any machine, for any account that runs them."""

import pwd

import psycopg
import pytest

from tests.postgres import postgres_server


def test_a_server_needs_no_program_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for root: no account is created."""
    accounts = pwd.getpwall()
    monkeypatch.setenv("PATH", "/nowhere")
    with postgres_server() as server, psycopg.connect(server.uri) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert pwd.getpwall() == accounts


def test_a_stopped_server_starts_again_on_its_data() -> None:
    with postgres_server() as server:
        with psycopg.connect(server.uri, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (n integer)")
        server.stop()
        server.start()
        with psycopg.connect(server.uri) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
