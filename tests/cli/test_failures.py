"""Bad input and bad surroundings: a message, an exit code, no stack trace, nothing changed."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.world import World

CREATE = ["session", "create", "--account", "acme", "--model", "llama"]
BAD = [
    pytest.param([*CREATE, "--nodes", "0"], 1, "invalid_request: nodes", id="no nodes"),
    pytest.param([*CREATE, "--max-cost", "1e3"], 1, "stop.max_cost", id="money with an exponent"),
    pytest.param([*CREATE, "--max-duration", "soon"], 2, "--max-duration", id="no number"),
    pytest.param([*CREATE, "--metadata", "[1]"], 2, "JSON object", id="metadata that is no object"),
    pytest.param([*CREATE, "--metadata", "{"], 2, "JSON object", id="metadata that is no JSON"),
    pytest.param([*CREATE, "--metadata", '{"a": NaN}'], 1, "metadata.a", id="metadata beyond JSON"),
    pytest.param([*CREATE, "--attach-url", "http://h"], 1, "attach.secret_ref", id="half an attach"),
    pytest.param([*CREATE, "--credential", "sk-real-secret"], 1, "env:NAME", id="a secret as a reference"),
    pytest.param([*CREATE, "--on-quota", "wait"], 1, "on_quota", id="an unknown choice"),
    pytest.param([*CREATE, "--timeout", "-1"], 2, "--timeout", id="negative patience"),
    pytest.param(["session", "create", "--model", "m"], 2, "--account", id="no account"),
    pytest.param(["session", "close", "x", "--confirm"], 1, "only an operator", id="a user's proof"),
    pytest.param(["session", "extend", "x"], 1, "name at least one", id="nothing to extend"),
    pytest.param(["session", "list", "--state", "odd"], 2, "odd", id="an unknown state"),
    pytest.param(["session", "list", "--limit", "0"], 2, "--limit", id="a list of nothing"),
    pytest.param(["session", "endpoint", "x", "--lang", "cobol"], 2, "cobol", id="an unknown language"),
    pytest.param(["account", "credit", "a", "--amount", "0", "--currency", "USD"], 1, "amount", id="nothing"),
    pytest.param(["account", "put", "a", "--plan", "p", "--currency", "usd"], 1, "currency", id="small"),
    pytest.param(["model", "put", "m", "--id-at", "alpha"], 2, "PROVIDER=ID", id="no id at a provider"),
    pytest.param(["model", "put", "m", "--file", "x"], 2, "either the file", id="file and fields"),
    pytest.param(["model", "put", "--file", "/absent"], 2, "/absent", id="an absent file"),
    pytest.param(["model", "put", "m"], 1, "more fault", id="fields missing"),
    pytest.param(["apply", "/absent.toml"], 2, "/absent.toml", id="nothing to apply"),
    pytest.param(["worker", "--pool", "odd"], 2, "odd", id="an unknown pool"),
    pytest.param(["simulator", "--host", "0.0.0.0"], 2, "reached from elsewhere", id="an open simulator"),
    pytest.param(["simulator", "--preload", "/absent"], 2, "/absent", id="an absent preload"),
    pytest.param(["odd"], 2, "odd", id="an unknown command"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD)
def test_bad_input(cli: Cli, world: World, arguments: list[str], code: int, words: str) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    assert "sk-real-secret" not in said.err
    assert cli("session", "list", "--json").json == []


def test_several_faults_are_told_one_a_line(cli: Cli) -> None:
    lines = cli("session", "create", "--account", "a b", "--model", "c d").err.splitlines()
    assert lines[0].startswith("error invalid_request: account_id: ")
    assert [line.split(":")[0] for line in lines[1:]] == ["  account_id", "  model_id"]


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
    assert "0001: The first schema." in first.err
    assert again.err == ""
    assert cli("session", "list", "--json").json == []


def test_a_database_of_a_later_release_is_left_alone(cli: Cli, world: World) -> None:
    world.services.database.transact(
        lambda tx: tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    )
    assert cli("session", "list").code == 0, "what it added is in nobody's way"
    revision = next(finding for finding in cli("doctor", "--json").json if finding["check"] == "revision")
    assert revision["ok"]
    assert "newer than this release's" in revision["detail"]
    said = cli("migrate")
    assert (said.code, said.out) == (2, "")
    assert "cannot be migrated by this release" in said.err


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
    found = {finding["check"]: finding["ok"] for finding in said.json}
    assert [check for check, ok in found.items() if not ok] == ["secrets", "broker", "scheduler"]
    text = cli("doctor").out
    assert "environment variable MORPH_1 is not set" in text
    assert "hidden-password" not in text


def test_the_doctor_is_content_with_a_platform_that_works(
    cli: Cli, world: World, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_BROKER_URL", valkey_url)
    with world.services.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO leases (name, holder, fence, until, at) VALUES"
            " ('scheduler', 'x', 1, strftime('%Y-%m-%d %H:%M:%f'), strftime('%Y-%m-%d %H:%M:%f'))"
        )
    said = cli("doctor", "--json")
    assert said.code == 0, said.out


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
    skipped = (False, "not looked at: mend the configuration first")
    assert found["secrets"] == found["environment"] == found["providers"] == skipped
    assert found["database"][0], "what does not rest on it is looked at"
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
    assert found["work"] == (False, "not looked at: mend the database first")


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
