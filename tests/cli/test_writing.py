"""Commands that write: each sends a job, and prints its outcome."""

import json
from pathlib import Path

import pytest

from orchestrator.cli.shared.person import person
from tests.cli.conftest import Cli
from tests.flows.test_force_close import an_orphan
from tests.world import MINUTE, World

#: Celery's result store calls deprecated parts of redis-py; as an error that would end the worker in our process.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

CREATE = ["session", "create", "--account", "acme", "--model", "llama"]


def test_a_session_lives_from_create_to_delete(cli: Cli, worker: World) -> None:
    create = [*CREATE, "--session-id", "mine", "--max-duration", "600", "--no-start", "--json"]
    assert cli(*create).json["state"] == "created"
    assert cli("session", "start", "mine", "--json").json["state"] == "starting"
    worker.settle()
    assert cli("session", "ping", "mine", "--json").json["next_step"] == "ping"
    assert cli("session", "extend", "mine", "--max-duration", "1200", "--json").code == 0
    assert worker.session("mine").max_duration_seconds == 1200
    extend = f"extend by {person()}: max_duration_seconds 1200"
    for shown in ("show", "explain"):
        text = " ".join(cli("session", shown, "mine").out.split())
        assert f"create by {person()}" in text
        assert extend in text
    closed = cli("session", "close", "mine", "--operator", "--detail", "maintenance", "--json").json
    assert (closed["state"], closed["stop_reason"]) == ("stopping", "operator")
    worker.settle()
    assert "deleted" in cli("session", "delete", "mine").out


def test_a_close_of_what_is_over_says_why_and_since_when(cli: Cli, worker: World) -> None:
    session_id = worker.run_session("moral")
    worker.server.fault("close_fails", operation="close")
    first = cli("session", "close", session_id, "--operator", "--reason", "maintenance")
    assert (first.code, "already" in first.out) == (0, False)
    closing = cli("session", "close", session_id)
    assert closing.code == 0
    assert (
        f"session {session_id} is already stopping (operator: maintenance); its close is retried"
        in closing.out
    )
    worker.server.clear_faults()
    worker.pass_time(10 * MINUTE)
    again = cli("session", "close", session_id)
    assert again.code == 0
    assert f"session {session_id} is already stopped (operator: maintenance), since " in again.out
    assert "ago (2026-01-01 12:" in again.out.splitlines()[0]
    reported = cli("session", "close", session_id, "--json").json
    assert (reported["found_state"], reported["state"], reported["stop_reason"]) == (
        "stopped",
        "stopped",
        "operator",
    )


def test_a_close_is_forced_with_who_and_why_and_stays_in_the_report(cli: Cli, worker: World) -> None:
    session_id = worker.run_session("moral")
    worker.server.fault("close_fails", operation="close")
    cli("session", "close", session_id)
    worker.pass_time(MINUTE)
    [entry] = cli("session", "list", "--unproven", "--json").json
    assert (entry["id"], entry["forced"]) == (session_id, None)
    assert "Error closing session" in cli("session", "list", "--unproven").out
    unsaid = cli("session", "close", session_id, "--force")
    assert unsaid.code == 2
    assert "--force needs --reason" in unsaid.err
    said = cli(
        "session", "close", session_id, "--force", "--reason", "ticket 7", "--by", "ann@desk", "--json"
    )
    assert said.json["state"] == "stopped", said.err
    for option in ("--unproven", "--forced"):
        assert [one["forced"]["by"] for one in cli("session", "list", option, "--json").json] == ["ann@desk"]
        assert "ticket 7" in cli("session", "list", option).out
    assert "by ann@desk" in cli("session", "show", session_id).out
    worker.server.clear_faults()


def test_an_orphan_is_listed_and_closed_by_its_own_id(cli: Cli, worker: World) -> None:
    orphan = an_orphan(worker)
    assert [one["id"] for one in cli("provider", "orphans", "--json").json] == [orphan]
    assert "0xelsewhere" in cli("provider", "orphans", "morph").out
    assert cli("provider", "orphans", "alpha", "--json").json == []
    said = cli("session", "close", orphan, "--force", "--reason", "ticket 8")
    assert all(word in said.out for word in (orphan, "@", "closed"))
    assert cli("provider", "orphans", "--json").json == []


def test_every_argument_of_create_reaches_the_session(cli: Cli, worker: World) -> None:
    said = cli(
        *[*CREATE, "--name", "n", "--session-id", "all", "--description", "d", "--nodes", "2", "--json"],
        *["--max-duration", "600", "--max-interactions", "9", "--idle", "60", "--max-cost", "1.5"],
        *["--no-start", "--on-quota", "queue", "--failover", "--provider", "alpha"],
        *["--credential", "env:ALPHA", "--direct-payment", "--no-upstream-failover", "--bid-id", "b"],
        *["--metadata", json.dumps({"team": ["red"]})],
    )
    assert said.code == 0, said.err
    session = worker.session("all")
    assert (session.name, session.description, session.nodes, session.failover) == ("n", "d", 2, True)
    limits = (session.max_duration_seconds, session.max_interactions, session.idle_seconds, session.max_cost)
    assert [str(limit).rstrip("0") for limit in limits] == ["6", "9", "6", "1.5"]
    assert (session.pinned_provider, session.pinned_credential) == ("alpha", "env:ALPHA")
    assert session.provider_options == {"direct_payment": True, "failover": False, "bid_id": "b"}
    assert (session.on_quota, session.metadata) == ("queue", {"team": ["red"]})


def test_the_same_task_id_has_one_outcome(cli: Cli, worker: World) -> None:
    first, again = (cli(*CREATE, "--task-id", "once", "--json").json for _ in range(2))
    assert first["id"] == again["id"]
    assert len(cli("session", "list", "--json").json) == 1


def test_a_refusal_says_its_code_and_changes_nothing(cli: Cli, worker: World) -> None:
    as_json = cli("session", "create", "--account", "nobody", "--model", "llama", "--json")
    assert (as_json.code, as_json.out) == (3, "")
    error = json.loads(as_json.err)
    assert (error["code"], error["details"]) == ("unknown_account", {"account_id": "nobody"})
    said = cli("session", "create", "--account", "nobody", "--model", "llama")
    assert said.err.startswith(
        "error unknown_account: account nobody is unknown: put it first (`orchestrator account put nobody "
    )
    said = cli("session", "create", "--account", "acme", "--model", "nothing")
    assert (said.code, "orchestrator.model.put" in said.err) == (3, False)
    assert said.err.startswith(
        "error unknown_model: model nothing is unknown: put it first (`orchestrator model put nothing "
    )
    assert cli("session", "list", "--json").json == []


def test_waiting_ends_when_the_session_runs_or_will_not(cli: Cli, worker: World) -> None:
    create = [*CREATE, "--session-id", "mine"]
    early = cli(*create, "--wait-running", "0.3")
    assert early.code == 4
    assert "still starting" in early.err
    worker.settle()
    assert cli(*create, "--wait-running", "5", "--json").json["state"] == "running"
    created = cli(*CREATE, "--no-start", "--wait-running", "5")
    assert created.code == 1
    assert "is created, not running" in created.err


def test_accounts_are_put_and_credited(cli: Cli, worker: World) -> None:
    assert cli("account", "put", "new", "--plan", "contract", "--currency", "EUR", "--json").code == 0
    credit = ["account", "credit", "new", "--amount", "2.50", "--currency", "EUR"]
    for _ in range(2):
        assert cli(*credit, "--key", "k", "--json").json["balance"] == "2.50"
    generated = cli(*credit, "--json")
    assert generated.json["balance"] == "5.00"
    assert generated.err.startswith("key ")


def test_models_are_put_by_options_or_from_a_file(cli: Cli, worker: World, tmp_path: Path) -> None:
    fields = ["--type", "ASR", "--price-per-node-hour", "2", "--currency", "USD"]
    one = cli("model", "put", "m/1", "--provider", "alpha", "--provider-model-id", "x", *fields, "--json")
    assert one.json["provider_model_ids"] == {"alpha": "x"}
    ids = ["--id-at", "alpha=a=b", "--id-at", "morph=c"]
    two = cli("model", "put", "m2", "--provider", "alpha", "--provider", "morph", *ids, *fields, "--json")
    assert two.json["provider_model_ids"] == {"alpha": "a=b", "morph": "c"}
    file = tmp_path / "m.toml"
    file.write_text(
        '[[models]]\nid="m3"\nprovider="alpha"\nprovider_model_id="x"\ntype="ASR"\n'
        'price_per_node_hour="1"\ncurrency="USD"\n'
    )
    assert "m3" in cli("model", "put", "--file", str(file)).out
    assert {"m/1", "m2", "m3"} <= {model["id"] for model in cli("model", "list", "--json").json}


def test_without_a_worker_the_job_waits_and_the_task_id_is_reported(
    cli: Cli, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", valkey_url)
    late = cli(*CREATE, "--timeout", "0.2", "--task-id", "mine")
    assert (late.code, late.out) == (4, "")
    assert "may still run" in late.err
    assert "--task-id mine" in late.err
    assert cli(*CREATE, "--no-wait", "--task-id", "other").out == "other\n"
    assert cli(*CREATE, "--no-wait", "--json").json["task_id"]


@pytest.mark.parametrize("task_id", ["", "x" * 256, "a\nb"])
def test_a_task_id_that_cannot_be_kept_is_wrong_usage(cli: Cli, task_id: str) -> None:
    said = cli("account", "put", "acme", "--plan", "payg", "--currency", "USD", "--task-id", task_id)
    assert (said.code, "--task-id" in said.err) == (2, True)


def test_a_task_id_of_another_job_is_a_conflict(cli: Cli, worker: World) -> None:
    put = ("account", "put", "acme", "--plan", "payg", "--currency", "USD", "--task-id", "once")
    first = cli(*put, "--json")
    said = cli("session", "create", "--account", "acme", "--model", "llama", "--task-id", "once")
    assert said.code == 1
    assert said.err.startswith(
        "error conflict: this task id was used before, for the job orchestrator.account.put"
    )
    assert cli(*put, "--json").json == first.json, "and the first job keeps its outcome"


def test_a_budget_is_taken_away_without_its_currency(cli: Cli, worker: World) -> None:
    budget = ("account", "budget", "acme", "--period", "day", "--amount")
    bare = cli(*budget, "5")
    assert (bare.code, "--currency" in bare.err) == (2, True), bare.err
    assert [one["amount"] for one in cli(*budget, "5", "--currency", "USD", "--json").json["budgets"]] == [
        "5.00"
    ]
    assert cli(*budget, "none", "--json").json["budgets"] == []
