"""Bad input and bad surroundings: a message, an exit code, no stack trace, no change."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.world import World

CREATE = ["session", "create", "--account", "acme", "--model", "llama"]
PLAN = ["--plan", "payg", "--currency", "USD"]
MODEL = ["model", "put", "m", "--provider", "alpha", "--provider-model-id", "x", "--type", "ASR"]
PRICE = ["--price-per-node-hour", "1", "--currency", "USD"]
BAD = [
    pytest.param([*CREATE, "--nodes", "0"], 2, "--nodes: must be 1 or more", id="no nodes"),
    pytest.param(
        [*CREATE, "--max-cost", "1e3"], 2, "--max-cost: must be above 0", id="money with an exponent"
    ),
    pytest.param([*CREATE, "--max-duration", "soon"], 2, "--max-duration", id="no number"),
    pytest.param([*CREATE, "--metadata", "[1]"], 2, "JSON object", id="metadata that is no object"),
    pytest.param([*CREATE, "--metadata", "{"], 2, "JSON object", id="metadata that is no JSON"),
    pytest.param([*CREATE, "--metadata", '{"a": NaN}'], 2, "--metadata: ", id="metadata beyond JSON"),
    pytest.param(
        [*CREATE, "--attach-url", "http://h"], 2, "--attach-secret-ref is missing", id="half an attach"
    ),
    pytest.param(
        [*CREATE, "--credential", "sk-real-secret"],
        2,
        "--credential: must be env:NAME",
        id="a secret as a reference",
    ),
    pytest.param([*CREATE, "--on-quota", "wait"], 2, "--on-quota: ", id="an unknown choice"),
    pytest.param([*CREATE, "--timeout", "-1"], 2, "--timeout", id="negative wait"),
    pytest.param(["session", "create", "--model", "m"], 2, "--account", id="no account"),
    pytest.param(
        ["session", "close", "x", "--confirm"], 2, "--confirm needs --operator", id="a user's proof"
    ),
    pytest.param(
        ["session", "extend", "x"], 2, "name at least one of --max-duration", id="nothing to extend"
    ),
    pytest.param(["session", "list", "--state", "odd"], 2, "odd", id="an unknown state"),
    pytest.param(["session", "list", "--limit", "0"], 2, "--limit", id="a list of nothing"),
    pytest.param(["session", "endpoint", "x", "--lang", "cobol"], 2, "cobol", id="an unknown language"),
    pytest.param(
        ["account", "credit", "a", "--amount", "0", "--currency", "USD"], 2, "--amount: ", id="nothing"
    ),
    pytest.param(["account", "put", "a", "--plan", "p", "--currency", "usd"], 2, "--currency: ", id="small"),
    pytest.param(["model", "put", "m", "--id-at", "alpha"], 2, "PROVIDER=ID", id="no id at a provider"),
    pytest.param(["model", "put", "m", "--file", "x"], 2, "either the file", id="file and fields"),
    pytest.param(["model", "put", "--file", "/absent"], 2, "/absent", id="an absent file"),
    pytest.param(["model", "put", "m"], 2, "--provider is missing", id="fields missing"),
    pytest.param([*CREATE, "--idle", "0"], 2, "--idle: ", id="no time to idle"),
    pytest.param([*CREATE, "--no-wait", "--wait-running", "1"], 2, "give one", id="waiting and not waiting"),
    pytest.param(["session", "close", "a b"], 2, "ID: must be 1 to 64", id="no id"),
    pytest.param(
        ["session", "close", "x", "--force"], 2, "--force needs --reason", id="forced without a why"
    ),
    pytest.param(["session", "close", "x", "--force", "--reason", " "], 2, "--force needs", id="a blank why"),
    pytest.param(
        ["session", "close", "x", "--force", "--confirm", "--operator", "--reason", "y"],
        2,
        "give one",
        id="with proof and without",
    ),
    pytest.param(["session", "close", "x", "--by", "me"], 2, "it needs --force", id="nothing that is forced"),
    pytest.param(
        ["session", "close", "x", "--detail", "y" * 201], 2, "--detail or --reason: ", id="too long a why"
    ),
    pytest.param(
        ["session", "endpoint", "x", "--lang", "curl", "--json"], 2, "nothing else", id="two kinds of output"
    ),
    pytest.param(["account", "ledger", "a", "--json", "--csv"], 2, "give one", id="JSON and CSV"),
    pytest.param(["account", "ledger", "a", "--before", str(2**63)], 2, "--before", id="beyond every id"),
    pytest.param(["account", "put", "a", *PLAN, "--max-nodes", "x"], 2, "--max-nodes: ", id="no limit"),
    pytest.param(["reconcile", "--force", "--max-share", "0.1"], 2, "give one", id="two shares"),
    pytest.param([*MODEL, "--owner", "o"], 2, "--price-per-node-hour is missing", id="no price"),
    pytest.param(
        [*MODEL, *PRICE, "--source", "private"], 2, "needs its --owner", id="a model without an owner"
    ),
    pytest.param(
        [*MODEL, *PRICE, "--id-at", "alpha=x"],
        2,
        "either --provider-model-id or --id-at",
        id="two ids at one provider",
    ),
    pytest.param(["apply", "/absent.toml"], 2, "/absent.toml", id="nothing to apply"),
    pytest.param(["worker", "--pool", "odd"], 2, "odd", id="an unknown pool"),
    pytest.param(["simulator", "--host", "0.0.0.0"], 2, "reached from elsewhere", id="an open simulator"),
    pytest.param(["simulator", "--preload", "/absent"], 2, "/absent", id="an absent preload"),
    pytest.param(["odd"], 2, "odd", id="an unknown command"),
    *(
        pytest.param([*words, "a\udcff"], 2, "not UTF-8", id=f"bytes that are no text: {' '.join(words)}")
        for words in (
            ["session", "show"],
            ["session", "list", "--account"],
            ["session", "list", "--after"],
            ["account", "list", "--after"],
            ["events", "--after"],
            ["events", "--subject"],
            ["token", "revoke"],
            ["messages", "drop"],
        )
    ),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD)
def test_bad_input(cli: Cli, world: World, arguments: list[str], code: int, words: str) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "sk-real-secret" not in said.err
    assert cli("session", "list", "--json").json == []


def test_several_faults_are_reported_one_a_line_by_the_options_that_were_typed(cli: Cli) -> None:
    said = cli("session", "create", "--account", "a b", "--model", "c d")
    assert (said.code, said.out) == (2, "")
    assert "session create -h" in said.err
    assert [line.split(":")[0] for line in said.err.splitlines() if "must be" in line] == [
        "│ --account",
        "│ --model",
    ]


def test_wrong_usage_is_an_error_object_for_programs(cli: Cli) -> None:
    said = cli("session", "create", "--account", "a b", "--model", "llama", "--nodes", "0", "--json")
    assert (said.code, said.out) == (2, "")
    error = json.loads(said.err)
    assert (error["code"], {fault["loc"] for fault in error["details"]["faults"]}) == (
        "invalid_request",
        {"account_id", "nodes"},
    )
    assert {*error["details"]["faults"][0]} == {"loc", "msg", "type"}
    unknown = cli("session", "list", "--nothing", "--json")
    assert (unknown.code, json.loads(unknown.err)["code"]) == (2, "invalid_request")


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["session", "list", "--nothing"], "--nothing"),
        (["session", "list", "--limit", "0"], "--limit"),
        (["session", "list", "--state", "odd"], "--state"),
        (["session", "list", "--since", "soon"], "--since"),
        (["session", "create", "--model", "m"], "--account"),
        (["session", "show"], "ID"),
        (["session", "create", "--account", "a", "--model", "m", "--metadata", "x"], "--metadata"),
        (["session", "extend", "x", "--max-duration", "-1h"], "--max-duration"),
        (["session", "list", "--watch"], ""),
        (["session", "odd"], ""),
    ],
)
def test_wrong_usage_has_its_faults_for_programs(cli: Cli, arguments: list[str], place: str) -> None:
    error = json.loads(cli(*arguments, "--json").err)
    [fault] = error["details"]["faults"]
    assert (error["code"], fault["loc"]) == ("invalid_request", place)
    assert fault["msg"]
    assert "\n" not in fault["msg"]


def test_what_a_command_needs_and_lacks_is_an_error_object_too(
    cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lost = json.loads(cli("session", "close", "x", "--json").err)
    assert (lost["code"], "does not answer" in lost["message"]) == ("unavailable", True)
    assert "hidden-password" not in str(lost)
    config.write_text('[providers.a]\ndriver = "odd"\nbase_url = "x"\n')
    wrong = json.loads(cli("provider", "list", "--json").err)
    assert (wrong["code"], len(wrong["details"]["faults"])) == ("invalid_configuration", 2)
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", f"sqlite:///{tmp_path}/absent.db")
    assert json.loads(cli("session", "list", "--json").err)["code"] == "unavailable"


def test_a_value_that_cannot_be_read_is_reported_in_plain_words(cli: Cli) -> None:
    for arguments, words in (
        (["session", "list", "--limit", "many"], "must be a whole number"),
        (["session", "list", "--limit", "0"], "must be 1 or more"),
        (["reconcile", "--max-share", "2"], "must be 1 or less"),
    ):
        said = cli(*arguments)
        assert (said.code, words in " ".join(said.err.split())) == (2, True), said.err
        assert "Input should" not in said.err


def test_faults_of_a_model_in_a_file_are_reported_by_the_keys_of_the_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "m.toml"
    file.write_text('id = "m"\nprovider = "alpha"\nprovider_model_id = "x"\ntype = "ASR"\ncurrency = "usd"\n')
    said = cli("model", "put", "--file", str(file))
    assert (said.code, said.out) == (2, "")
    assert [line.removeprefix(f"{file}: ").split(":")[0] for line in said.err.splitlines()] == [
        "price_per_node_hour",
        "currency",
    ]


def test_what_is_unknown_is_reported_with_the_command_that_helps(cli: Cli) -> None:
    said = cli("account", "show", "nobody")
    assert said.code == 3
    assert said.err.startswith(
        "error unknown_account: account nobody is unknown: put it first (`orchestrator "
    )


def test_an_unreachable_broker_is_named_without_its_password(cli: Cli) -> None:
    said = cli(*CREATE)
    assert (said.code, said.out) == (2, "")
    assert "127.0.0.1:1/0 does not answer" in said.err
    assert "hidden-password" not in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["session", "list"],
        ["account", "show", "a"],
        ["model", "list"],
        ["provider", "list"],
        ["events"],
        ["migrate"],
    ],
)
def test_an_unreachable_database_is_named_without_its_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", "postgresql+psycopg://u:hidden-password@127.0.0.1:1/x")
    said = cli(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "cannot be used" in said.err
    assert "hidden-password" not in said.err


def test_an_empty_database_asks_to_be_migrated_and_then_works(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    said = cli("session", "list")
    assert (said.code, said.out) == (2, "")
    assert "run `orchestrator migrate`" in said.err
    first, again = cli("migrate"), cli("migrate")
    assert first.out == again.out != "\n"
    assert "0001: " in first.err
    assert f"migrated from an empty database to revision {first.out.strip()}" in first.err
    assert again.err == f"the database was at revision {again.out.strip()} already: nothing to do\n"
    assert cli("session", "list", "--json").json == []


def test_a_database_of_a_later_release_is_left_alone(cli: Cli, world: World) -> None:
    world.services.database.transact(
        lambda tx: tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    )
    assert cli("session", "list").code == 0, "what it added blocks no command"
    revision = next(finding for finding in cli("doctor", "--json").json if finding["check"] == "revision")
    assert revision["ok"]
    assert "newer than this release's" in revision["detail"]
    said = cli("migrate")
    assert (said.code, said.out) == (2, "")
    assert "cannot be migrated by this release" in said.err


def test_the_doctor_says_by_what_names_this_installation_is_known_at_platforms(
    cli: Cli, world: World
) -> None:
    made = world.services.database.transact(lambda tx: tx.installation.new_placement_id())
    revision = next(finding for finding in cli("doctor", "--json").json if finding["check"] == "revision")
    assert f"named {made[:8]}-" in revision["detail"]


def test_every_wrong_setting_has_its_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LOG", "loud")
    monkeypatch.setenv("ORCHESTRATOR_METRICS_PORT", "x")
    said = cli("session", "list")
    assert said.code == 2
    assert [line.split(":")[0] for line in said.err.splitlines()] == [
        "ORCHESTRATOR_LOG",
        "ORCHESTRATOR_METRICS_PORT",
    ]


def test_every_fault_of_the_configuration_has_its_line(cli: Cli, config: Path) -> None:
    config.write_text('[providers.a]\ndriver = "odd"\nbase_url = "x"\n')
    said = cli("provider", "list")
    assert said.code == 2
    assert [line.split(":")[0] for line in said.err.splitlines()] == [
        "providers.a.driver",
        "providers.a.base_url",
    ]


def test_the_doctor_finds_what_is_wrong(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MORPH_1")
    said = cli("doctor", "--json")
    assert said.code == 1
    red = [one["check"] for one in said.json if not one["ok"] and not one.get("skipped")]
    assert red == ["secrets", "broker", "workers"]
    text = cli("doctor").out
    assert "environment variable MORPH_1 is not set" in text
    assert "hidden-password" not in text


def _found(cli: Cli, code: int) -> dict[str, tuple[bool, str]]:
    said = cli("doctor", "--json")
    assert said.code == code, said.out
    return {finding["check"]: (finding["ok"], finding["detail"]) for finding in said.json}


def test_the_doctor_tells_a_fault_of_the_configuration_once(cli: Cli, config: Path) -> None:
    config.write_text('[providers.a]\ndriver = "odd"\nbase_url = "x"\n')
    found = _found(cli, 2)
    assert [check for check, (_, detail) in found.items() if "providers.a.driver" in detail] == [
        "configuration"
    ]
    skipped = (False, "skipped: fix configuration first")
    assert found["secrets"] == found["environment"] == found["providers"] == skipped
    assert found["database"][0], "what does not rest on it is checked"
    assert cli("doctor").out.count("providers.a.base_url") == 1


def test_the_doctor_tells_a_fault_of_the_settings_with_the_code_for_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_LOG", "loud")
    assert list(_found(cli, 2)) == ["settings"]


def test_the_doctor_tells_once_that_the_database_cannot_be_reached(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABASE_URL", f"sqlite:///{tmp_path}/absent.db")
    found = _found(cli, 1)
    assert [check for check, (_, detail) in found.items() if "absent.db" in detail] == ["database"]
    assert found["work"] == (False, "skipped: fix database first")


def test_the_doctor_warns_of_a_variable_that_nobody_reads(
    cli: Cli, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_METRIC_PORT", "hunter2")
    [found] = [one for one in cli("doctor", "--json").json if one["check"] == "environment"]
    assert (found["ok"], found["warning"]) == (True, True)
    assert found["detail"].startswith("ORCHESTRATOR_METRIC_PORT: unknown variable, it has no effect; did you")
    [line] = [line for line in cli("doctor").out.splitlines() if "METRIC_PORT" in line]
    assert line.split()[:2] == ["!", "environment"]
    assert "hunter2" not in line
