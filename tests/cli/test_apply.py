"""`apply`: every fault at once and nothing written; run twice, nothing changes."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import CONFIG, Cli

MODEL = """
[[models]]
id = "m"
provider = "alpha"
provider_model_id = "x"
type = "LLM"
size = "8B"
learning_stage = "Instruction-tuned"
price_per_node_hour = "1.20"
currency = "USD"
"""
ACCOUNT = """
[[accounts]]
id = "acme"
plan = "payg"
balance = "25.00"
currency = "USD"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.toml"
    path.write_text(MODEL + ACCOUNT)
    return path


def changes(cli: Cli, file: Path) -> list[tuple[str, str]]:
    said = cli("apply", str(file), "--json")
    assert said.code == 0, said.err
    return [(change["kind"], change["change"]) for change in said.json]


def balance(cli: Cli) -> Any:
    return cli("account", "show", "acme", "--json").json["balance"]


def test_applying_twice_changes_nothing(cli: Cli, file: Path) -> None:
    assert changes(cli, file) == [("model", "added"), ("account", "added"), ("opening balance", "added")]
    events = cli("events", "--json").json
    assert {change for _, change in changes(cli, file)} == {"unchanged"}
    assert cli("events", "--json").json == events
    assert balance(cli) == "25.00"
    assert "unchanged" in cli("apply", str(file)).out


def test_a_change_is_applied(cli: Cli, file: Path) -> None:
    changes(cli, file)
    file.write_text((MODEL + ACCOUNT).replace('"1.20"', '"2.40"').replace("payg", "contract"))
    assert changes(cli, file) == [
        ("model", "changed"),
        ("account", "changed"),
        ("opening balance", "unchanged"),
    ]
    assert cli("model", "list", "--json").json[0]["price_per_node_hour"] == "2.40"


def test_an_opening_balance_is_given_once_and_stays(cli: Cli, file: Path) -> None:
    changes(cli, file)
    file.write_text(ACCOUNT.replace("25.00", "30.00"))
    said = cli("apply", str(file))
    assert said.code == 0
    assert "25.00 USD was given already and stays" in said.out
    assert balance(cli) == "25.00"


@pytest.mark.parametrize("nothing", ['balance = "0"', 'balance = "0.00"', "balance = 0", ""])
def test_an_account_may_open_with_nothing(cli: Cli, file: Path, nothing: str) -> None:
    file.write_text(ACCOUNT.replace('balance = "25.00"', nothing))
    assert changes(cli, file) == [("account", "added")]
    assert balance(cli) == "0.00"


def test_the_configuration_may_stand_in_the_same_file(cli: Cli, config: Path) -> None:
    rest = "[audit]\noverdue_after_seconds = 60\n[retention]\nevents_days = 1\n"
    config.write_text(CONFIG + rest + MODEL + ACCOUNT)
    assert len(changes(cli, config)) == 3


def test_a_refusal_is_reported_and_does_not_keep_the_others_back(cli: Cli, file: Path) -> None:
    changes(cli, file)
    other = ACCOUNT.replace("acme", "other")
    file.write_text(ACCOUNT.replace('"USD"', '"EUR"') + other)
    said = cli("apply", str(file), "--json")
    assert said.code == 1
    assert said.err.startswith("error currency_mismatch: account acme: ")
    assert [(change["id"], change["change"]) for change in said.json] == [
        ("acme", "refused"),
        ("other", "added"),
        ("other", "added"),
    ]


FAULTS = [
    pytest.param(MODEL.replace('size = "8B"\n', ""), ["models[0].size"], id="a field that others need"),
    pytest.param(MODEL.replace('"1.20"', "1.2"), ["models[0].price_per_node_hour"], id="money as a fraction"),
    pytest.param(MODEL.replace('"alpha"', '"odd"'), ["models[0].provider"], id="an unknown provider"),
    pytest.param(MODEL.replace("\nid =", "\nidd ="), ["models[0].id", "models[0].idd"], id="a misspelt key"),
    pytest.param(MODEL.replace('"x"', "2020-01-01"), ["models[0].provider_model_id"], id="a date"),
    pytest.param(MODEL + MODEL, ["models[1].id"], id="an id twice"),
    pytest.param(MODEL + ACCOUNT + ACCOUNT, ["accounts[1].id"], id="an account twice"),
    pytest.param(ACCOUNT.replace("payg", "odd"), ["accounts[0].plan"], id="an unknown plan"),
    pytest.param(ACCOUNT.replace('"25.00"', '"-1"'), ["accounts[0].balance"], id="a debt"),
    pytest.param(ACCOUNT.replace('"25.00"', "true"), ["accounts[0].balance"], id="money that is true"),
    pytest.param(ACCOUNT.replace('"USD"', '"usd"'), ["accounts[0].currency"], id="a small currency"),
    pytest.param(ACCOUNT.replace('id = "acme"\n', ""), ["accounts[0].id"], id="an account without id"),
    pytest.param("[model]\nid = 'x'", ["model"], id="an unknown table"),
    pytest.param("models = 3", ["models"], id="no list"),
    pytest.param("[models]\nid = 'x'", ["models"], id="one table instead of a list"),
    pytest.param(
        MODEL + MODEL.replace('size = "8B"\n', "").replace('"m"', '"n"') + ACCOUNT.replace("payg", "odd"),
        ["models[1].size", "accounts[0].plan"],
        id="several at once",
    ),
]


@pytest.mark.parametrize(("text", "paths"), FAULTS)
def test_every_fault_is_named_and_nothing_is_written(
    cli: Cli, file: Path, text: str, paths: list[str]
) -> None:
    file.write_text(text)
    said = cli("apply", str(file))
    assert (said.code, said.out) == (2, "")
    assert [line.split(":")[0] for line in said.err.splitlines()] == paths
    assert cli("model", "list", "--json").json == []
    assert cli("account", "list", "--json").json == []


@pytest.mark.parametrize(("text", "paths"), [fault for fault in FAULTS if fault.values[1] != ["model"]])
def test_faults_in_the_configuration_file_are_found_wherever_it_is_read(
    cli: Cli, config: Path, text: str, paths: list[str]
) -> None:
    config.write_text(f"{text}\n{CONFIG}" if text.startswith("models =") else CONFIG + text)
    said = cli("provider", "list")
    assert (said.code, said.out) == (2, "")
    assert [line.split(":")[0] for line in said.err.splitlines()] == paths
    [found] = [one for one in cli("doctor", "--json").json if one["check"] == "configuration"]
    assert not found["ok"]
    assert [line.split(":")[0] for line in found["detail"].splitlines()] == paths


def test_a_plan_of_the_same_file_is_known_even_where_its_table_has_a_fault(cli: Cli, config: Path) -> None:
    config.write_text(CONFIG + "[plans.gold]\nmax_nods = 1\n" + ACCOUNT.replace("payg", "gold"))
    assert cli("provider", "list").err.splitlines() == [
        "plans.gold.max_nods: unknown key; did you mean max_nodes?"
    ]


def test_a_file_that_is_no_toml_says_where(cli: Cli, file: Path) -> None:
    file.write_text("[[models]\n")
    said = cli("apply", str(file))
    assert said.code == 2
    assert "is not valid TOML" in said.err
    file.write_bytes(b"\xff")
    assert "is not UTF-8" in cli("apply", str(file)).err


def test_a_file_without_entries_says_that_nothing_was_applied(cli: Cli, file: Path) -> None:
    file.write_text('[providers.alpha]\ndriver = "openai"\n')
    said = cli("apply", str(file))
    assert (said.code, said.out) == (0, "")
    assert said.err == f"{file} has neither [[models]] nor [[accounts]]: nothing was applied\n"
