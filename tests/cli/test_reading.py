"""Commands that read: JSON is the object itself, tables are for people."""

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest

from orchestrator.cli.shared.output import print_table_as_csv
from orchestrator.flows.operations.deliver_events import deliver_events
from orchestrator.flows.reports import views
from orchestrator.rules.text import escape
from tests.cli.conftest import Cli
from tests.world import HOUR, MINUTE, World


def test_sessions_are_listed_as_an_array_newest_first(cli: Cli, world: World) -> None:
    first = world.run_session()
    world.pass_time(MINUTE)
    second = world.run_session("moral")
    sessions = cli("session", "list", "--json").json
    assert [session["id"] for session in sessions] == [second, first]
    assert sessions[0]["state"] == "running"
    assert len(cli("session", "list", "--json", "--limit", "1").json) == 1
    unknown = cli("session", "list", "--account", "other")
    assert (unknown.code, unknown.out) == (3, "")
    assert (
        unknown.err
        == "error unknown_account: account other is unknown: `orchestrator account list` has all\n"
    )
    assert cli("session", "list", "--json", "--state", "failed", "--state", "queued").json == []
    assert cli("session", "list", "--json", "--unproven").json == []


def test_a_list_for_people_has_one_line_a_session_and_no_colour_in_a_file(cli: Cli, world: World) -> None:
    world.run_session(name="[red]first[/red]")
    said = cli("session", "list")
    line = next(line for line in said.out.splitlines() if "[red]first[/red]" in line)
    assert all(word in line for word in ("acme", "llama", "running", "alpha", "ALIVE", "USD"))
    assert "\x1b" not in said.out


def test_a_session_is_shown_with_placements_and_events(cli: Cli, world: World) -> None:
    session_id = world.run_session("moral", stop={"max_duration_seconds": 600}, metadata={"team": "red"})
    with world.services.database.reading() as tx:
        expected = views.of_session(tx, world.session(session_id), world.clock.now)
    shown = cli("session", "show", session_id, "--json").json
    assert {**shown, "cost": 0} == {**expected, "cost": 0}  # the real clock has moved on
    text = cli("session", "show", session_id).out
    assert all(word in text for word in ("max_duration", "env:MORPH_1", "session.running", '"team": "red"'))


def test_a_stopped_session_says_why(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    world.done("session.close", session_id=session_id, reason="operator", detail="maintenance")
    world.pass_time(MINUTE)
    assert "operator: maintenance" in cli("session", "show", session_id).out
    refused = cli("session", "endpoint", session_id)
    assert refused.code == 1
    assert "invalid_state" in refused.err
    assert "is stopped (operator: maintenance)" in refused.err


@pytest.mark.parametrize(
    ("start", "said"), [(False, "is created (not started)"), (True, "is starting (last ping: none yet)")]
)
def test_an_endpoint_is_handed_out_only_while_running(cli: Cli, world: World, start: bool, said: str) -> None:
    session_id = world.create_session(start=start)
    refused = cli("session", "endpoint", session_id, "--json")
    assert (refused.code, refused.out) == (1, "")
    error = json.loads(refused.err)
    assert error["code"] == "invalid_state"
    assert said in error["message"]


def test_an_endpoint_names_the_secret_and_shows_it_only_when_asked(cli: Cli, world: World) -> None:
    session_id = world.run_session("moral")
    found = cli("session", "endpoint", session_id, "--json").json
    assert (found["model"], found["auth"], found["secret_ref"]) == ("moral-1", "bearer", "env:MORPH_1")
    assert "secret" not in found
    assert "sk-morph-1" not in cli("session", "endpoint", session_id).out
    assert cli("session", "endpoint", session_id, "--json", "--reveal").json["secret"] == "sk-morph-1"
    assert "sk-morph-1" in cli("session", "endpoint", session_id, "--reveal").out
    assert cli("session", "endpoint", session_id, "--lang", "curl").out == found["samples"]["curl"] + "\n"


def test_a_machine_without_the_secret_says_so(
    cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = world.run_session("moral")
    monkeypatch.delenv("MORPH_1")
    refused = cli("session", "endpoint", session_id, "--reveal")
    assert (refused.code, refused.out) == (1, "")
    assert "environment variable MORPH_1 is not set" in refused.err


def test_an_account_shows_its_money_and_its_quota(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    terms = {
        "account_id": "acme",
        "plan": "payg",
        "currency": "USD",
        "quota": {"max_concurrent": "unlimited"},
    }
    world.done("account.put", **terms)
    account = cli("account", "show", "acme", "--json").json
    by = {"sessions": [session_id]}
    assert account["quota"] == {
        "sessions": {"used": 1, "allowed": 20, "own": False} | by,
        "concurrent": {"used": 1, "allowed": None, "own": True} | by,
        "nodes_per_session": {"used": 1, "allowed": 2, "own": False} | by,
        "nodes_total": {"used": 1, "allowed": None, "own": False} | by,
        "cleanup_debt": {"used": 0, "sessions": []},
    }
    assert account["own_quota"] == {"max_concurrent": "unlimited"}
    assert [session["id"] for session in account["sessions"]] == [session_id]
    text = cli("account", "show", "acme").out
    assert all(word in text for word in ("any number (its own)", "nodes total", "cleanup debt", session_id))
    assert [a["id"] for a in cli("account", "list", "--json").json] == ["acme"]
    assert "100.00 USD" in cli("account", "list").out


def test_a_debt_of_ours_is_shown_and_counts_nowhere(cli: Cli, world: World) -> None:
    session_id = world.run_session("moral")
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=session_id)
    world.pass_time(11 * MINUTE)
    quota = cli("account", "show", "acme", "--json").json["quota"]
    assert quota["cleanup_debt"] == {"used": 1, "sessions": [session_id]}
    assert [quota[name]["used"] for name in ("sessions", "concurrent", "nodes_total")] == [0, 0, 0]


def test_the_ledger_is_read_newest_first_page_by_page(cli: Cli, world: World) -> None:
    world.done("account.credit", account_id="acme", amount="2.50", currency="USD", key="second")
    session_id = world.run_session()
    world.done("session.close", session_id=session_id)
    world.settle()
    entries = cli("account", "ledger", "acme", "--json").json
    assert [entry["amount"] for entry in entries] == ["0.02", "2.50", "100.00"]
    assert [entry["balance"] for entry in entries] == ["102.48", "102.50", "100.00"]
    assert "2.50 USD" in cli("account", "ledger", "acme").out
    page = cli("account", "ledger", "acme", "--json", "--limit", "1")
    assert [entry["balance"] for entry in page.json] == ["102.48"]
    assert f"--before {page.json[0]['id']}" in page.err
    older = cli("account", "ledger", "acme", "--json", "--before", str(page.json[0]["id"])).json
    assert older == entries[1:]
    assert cli("account", "ledger", "acme", "--json", "--since", "2027-01-01").json == []
    wrong = cli("account", "ledger", "acme", "--since", "yesterday")
    assert (wrong.code, "2026-01-31" in wrong.err) == (2, True)


def test_the_ledger_comes_as_csv(cli: Cli, world: World) -> None:
    head, line = cli("account", "ledger", "acme", "--csv").out.splitlines()
    assert head.startswith("id,at,kind,amount,currency,debit,credit,balance")
    assert ",credit,100.00,USD,granted,account:acme,100.00,," in line


FORMULAS = (
    '=HYPERLINK("http://evil.example","x")',
    "=1+1",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    " =1+1",
    "\t=1+1",
    "\uff1d1+1",
    "-",
)


@pytest.mark.parametrize("text", [*FORMULAS, "a=b", "1-2", "-0.02", "+7", "2026-01-01T12:00:00Z", ""])
def test_no_text_of_a_csv_is_a_formula_and_numbers_stay_numbers(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table_as_csv(("text", "amount", "n"), [{"text": text, "amount": Decimal("-0.02"), "n": -3}])
    _, [reported, amount, n] = csv.reader(capsys.readouterr().out.splitlines())
    assert reported == ("'" if text in FORMULAS else "") + escape(text)
    assert (amount, n) == ("-0.02", "-3")


def test_a_reason_that_is_a_formula_is_text_in_the_ledger_as_csv(cli: Cli, world: World) -> None:
    formula = '=HYPERLINK("http://evil.example","x")'
    world.done(
        "account.debit", account_id="acme", amount="1", currency="USD", key="d", reason=formula, author="@me"
    )
    rows = list(csv.DictReader(cli("account", "ledger", "acme", "--csv").out.splitlines()))
    assert formula in rows[0]["note"]
    assert not [
        cell for row in rows for cell in row.values() if cell[:1] in set("=+-@") and not _is_a_number(cell)
    ]


def _is_a_number(cell: str) -> bool:
    try:
        Decimal(cell)
    except InvalidOperation:
        return False
    return True


def test_a_forecast_tells_how_long_the_money_lasts(cli: Cli, world: World) -> None:
    world.done("account.put", account_id="poor", plan="contract", currency="USD", overdraft_limit="0.20")
    world.done("account.credit", account_id="poor", amount="0.40", currency="USD", key="1")
    session_id = world.run_session(account_id="poor", nodes=2)
    reported = cli("account", "forecast", "poor", "--json").json  # long after the world's clock
    assert (reported["burn_per_hour"], reported["available"], reported["seconds_left"]) == ("2.40", "0.00", 0)
    assert (reported["funds_end_at"], reported["funds_end_session_id"]) == (
        "2026-01-01T12:15:00Z",
        session_id,
    )
    assert [(one["id"], one["cost"]) for one in reported["sessions"]] == [(session_id, "0.60")]
    assert "2.40 USD" in cli("account", "forecast", "poor").out
    assert cli("account", "forecast", "acme", "--json").json["funds_end_at"] is None


def test_costs_are_shown_by_account_model_provider_and_day(cli: Cli, world: World) -> None:
    world.run_session(stop={"max_duration_seconds": 3600})
    world.pass_time(2 * HOUR)
    for by, key in (("account", "acme"), ("model", "llama"), ("provider", "alpha"), ("day", "2026-01-01")):
        found = cli("costs", "--by", by, "--since", "2026-01-01", "--json").json
        assert [(one["key"], one["spent"]) for one in found["items"]] == [(key, "1.20")]
        assert [(one["currency"], one["spent"]) for one in found["totals"]] == [("USD", "1.20")]
    assert "1.20" in cli("costs", "--since", "2026-01-01").out
    unknown = cli("costs", "--account", "nobody")
    assert (unknown.code, "account nobody is unknown" in unknown.err) == (3, True)
    wrong = cli("costs", "--since", "yesterday")
    assert (wrong.code, "--since" in wrong.err) == (2, True)
    later = cli("costs", "--since", "2999-01-01")
    assert (later.code, "2999-01-01 lies in the future" in later.err) == (2, True)


def test_events_name_how_much_of_a_budget_is_used(cli: Cli, world: World) -> None:
    world.done("account.budget", account_id="acme", period="day", amount="0.40", currency="USD")
    world.run_session()
    world.pass_time(12 * MINUTE)
    assert "50 % of 0.40 USD a day" in cli("events", "--subject", "acme").out


def test_charges_are_exported(cli: Cli, world: World, tmp_path: Path) -> None:
    world.run_session(stop={"max_duration_seconds": 3600})
    world.pass_time(2 * HOUR)
    days = ("--since", "2026-01-01", "--until", "2026-01-02")
    written = cli("costs", "export", "--out", str(tmp_path / "january.csv"), *days)
    assert (written.code, "1 row," in written.err) == (0, True)
    [row] = csv.DictReader(io.StringIO((tmp_path / "january.csv").read_text()))
    assert (row["BilledCost"], row["ConsumedQuantity"]) == ("1.20", "1.000000000")
    parquet = cli("costs", "export", "--format", "focus-parquet", "--out", str(tmp_path / "j.parquet"), *days)
    assert (parquet.code, (tmp_path / "j.parquet").exists()) == (0, True)
    for wrong in (
        ("--out", str(tmp_path / "x.csv"), "--since", "2026-01-02", "--until", "2026-01-01"),
        ("--out", str(tmp_path / "no-such-folder" / "x.csv")),
        ("--out", str(tmp_path / "x.csv"), "--account", "nobody"),
        ("--out", str(tmp_path)),
    ):
        refused = cli("costs", "export", *wrong)
        assert refused.code in (1, 2, 3), refused
        assert "Traceback" not in refused.err


def test_an_export_since_a_day_of_this_month_goes_up_to_now(cli: Cli, world: World, tmp_path: Path) -> None:
    def said(since: date) -> str:
        return cli("costs", "export", "--out", str(tmp_path / "charges.csv"), "--since", str(since)).err

    today = datetime.now(UTC).date()
    first = today.replace(day=1)
    before = first - timedelta(days=1)
    assert any(f"from {first} to {day}" in said(first) for day in (today, today + timedelta(days=1)))
    assert f"from {before} to {before}" in said(before), "a month that is over is exported by itself"
    assert "lies in the future" in said(today + timedelta(days=3))


def test_models_are_listed(cli: Cli, world: World) -> None:
    models = {model["id"]: model for model in cli("model", "list", "--json").json}
    assert models["llama"]["price_per_node_hour"] == "1.20"
    assert "Instruction-tuned" in cli("model", "list").out


def test_providers_tell_how_each_credential_stands(
    cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run_session("moral")
    world.services.database.transact(
        lambda tx: tx.credentials.pause("alpha", "env:ALPHA", "refused", world.clock.now)
    )
    monkeypatch.delenv("MORPH_2")
    providers = {provider["name"]: provider for provider in cli("provider", "list", "--json").json}
    states = {key["ref"]: key["state"] for provider in providers.values() for key in provider["credentials"]}
    assert states == {"env:ALPHA": "paused", "env:MORPH_1": "in use", "env:MORPH_2": "secret missing"}
    assert (providers["morph"]["driver"], providers["morph"]["max_in_flight"]) == ("morpheus", 7)
    assert "environment variable MORPH_2 is not set" in cli("provider", "list").out


def test_a_provider_that_no_worker_has_seen_is_listed(cli: Cli) -> None:
    keys = [key for provider in cli("provider", "list", "--json").json for key in provider["credentials"]]
    assert {key["state"] for key in keys} == {"free"}
    assert {key["why"] for key in keys} == {"no worker has started with it yet"}


def test_events_are_the_latest_ones_oldest_first(cli: Cli, world: World) -> None:
    session_id = world.run_session()
    kinds = [event["type"] for event in cli("events", "--json", "--subject", session_id).json]
    assert kinds == [f"orchestrator.session.{kind}" for kind in ("created", "starting", "running")]
    latest = cli("events", "--json", "--limit", "1").json
    assert [(event["specversion"], event["type"]) for event in latest] == [
        ("1.0", "orchestrator.session.running")
    ]
    assert "session.running" in cli("events").out
    assert cli("events", "--json", "--subject", "morph").json == [], "a provider without events"
    unknown = cli("events", "--json", "--subject", "nobody")
    assert (unknown.code, unknown.out, json.loads(unknown.err)["code"]) == (3, "", "unknown_subject")


def test_what_is_unknown_is_refused_with_the_contracts_code(cli: Cli) -> None:
    for arguments, code in (
        (["session", "show", "nope"], "unknown_session"),
        (["session", "endpoint", "nope"], "unknown_session"),
        (["account", "show", "nope"], "unknown_account"),
        (["account", "ledger", "nope"], "unknown_account"),
        (["session", "explain", "nope"], "unknown_session"),
    ):
        said = cli(*arguments, "--json")
        assert (said.code, said.out) == (3, "")
        error = json.loads(said.err)
        assert (error["code"], error["details"][f"{code.removeprefix('unknown_')}_id"]) == (code, "nope")
        assert cli(*arguments).err.startswith(f"error {code}: {error['message']}")


def test_the_schema_of_jobs_is_json(cli: Cli) -> None:
    assert "orchestrator.session.create" in cli("jobs", "schema").json["properties"]


def test_an_audit_tells_each_check_and_fails_where_one_is_violated(cli: Cli, world: World) -> None:
    world.create_session(start=False)
    deliver_events(world.services, [])
    for options in ([], ["--full"]):
        said = cli("audit", "--json", *options)
        assert (said.code, said.json["ok"], said.json["violations"]) == (0, True, [])
        assert said.json["sessions"] >= 1
        assert {check["violations"] for check in said.json["checks"]} == {0}
    with world.services.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE accounts SET balance = balance + 1")
    said = cli("audit", "--json")
    assert said.code == 1
    assert [(v["check"], v["subject"]) for v in said.json["violations"]] == [("balance", "acme")]
    people = cli("audit")
    assert people.code == 1
    assert "its balance is 100.000001, its ledger adds up to 100" in people.out
