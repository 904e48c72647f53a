"""The doctor reads the timeouts from the server, and writes a row: reads alone prove neither."""

from typing import Any

import pytest
from sqlalchemy import make_url

from orchestrator.cli.doctor.database import described_timeouts
from orchestrator.cli.shared.failures import Complaint
from orchestrator.store.core.pooler import TIMEOUTS
from tests.cli.conftest import Cli


@pytest.fixture
def on_postgresql(cli: Cli, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the findings of `doctor` on PostgreSQL, by check; `options`: of the connection."""

    def doctor(options: str = "") -> dict[str, dict[str, Any]]:
        url = make_url(postgres_url).update_query_dict({"options": options} if options else {})
        monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", url.render_as_string(hide_password=False))
        return {finding["check"]: finding for finding in cli("doctor", "--json").json}

    return doctor


def test_a_database_that_only_reads_is_one_red_line_with_its_cause(on_postgresql: Any) -> None:
    well = on_postgresql()
    found = on_postgresql("-c default_transaction_read_only=on")
    assert well["writes"]["ok"]
    assert "the database is read-only (a failover in progress" in found["writes"]["detail"]
    changed = [name for name, finding in found.items() if finding["ok"] != well[name]["ok"]]
    assert changed[0] == "writes"
    assert all("writes" in found[name]["detail"] for name in changed[1:]), "the others rest on it"
    assert "start one" not in found["scheduler"]["detail"]


def test_the_timeouts_are_shown_as_the_server_has_them(on_postgresql: Any) -> None:
    timeouts = on_postgresql()["timeouts"]
    assert timeouts["ok"]
    assert "statement_timeout 30s" in timeouts["detail"]
    assert timeouts["detail"].endswith("a direct connection")


def test_timeouts_that_do_not_hold_are_named() -> None:
    with pytest.raises(Complaint, match=r"statement_timeout is 0, not 30s \(through a pooler"):
        described_timeouts({**TIMEOUTS, "statement_timeout": "0"}, pooled=True)
