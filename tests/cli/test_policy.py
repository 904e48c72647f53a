"""`policy try` and `config diff`: a change tried at the command line."""

from pathlib import Path

import pytest

from tests.cli.conftest import CONFIG, Cli
from tests.world import MINUTE, World


def test_a_change_is_shown_before_it_is_made(cli: Cli, world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 3600})
    other = world.run_session("moral", name="a-name-that-is-as-long-as-names-may-be", stop={"max_cost": "1"})
    world.pass_time(10 * MINUTE)
    said = cli("policy", "try", "--plan", "payg.max_duration_seconds=300", "--price", "llama=2.50")
    assert (said.code, said.err) == (0, "")
    assert "plans.payg.max_duration_seconds" in said.out.replace("\n", "")
    assert "with the deploy: no session changes" in said.out
    assert "if it had applied all along: 2 to end earlier" in said.out
    assert session_id[:8] in said.out
    assert other[:8] in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_a_change_as_json(cli: Cli, world: World) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 3600})
    report = cli("policy", "try", "--plan", "payg.max_duration_seconds=300", "--json").json
    assert report["changes"] == [{"key": "plans.payg.max_duration_seconds", "old": 86400, "new": 300}]
    assert [(one["session_id"], one["effect"]) for one in report["findings"]] == [(session_id, "stops")]
    mine = cli("policy", "try", "--set", "dead_after_failures=2", "--account", "acme", "--json").json
    assert mine["sessions"] == 1
    assert mine["changes"] == [{"key": "policy.dead_after_failures", "old": 3, "new": 2}]


def test_a_value_that_is_there_already_changes_nothing(cli: Cli, world: World) -> None:
    world.run_session()
    said = cli("policy", "try", "--set", "dead_after_failures=3").out
    assert "nothing changes: every value" in said
    assert "used before" not in said, "no table has that column"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "nothing to try"),
        (("--set", "dead_after_failures"), 2, "must be KEY=VALUE"),
        (("--set", "max_placements=1", "--set", "max_placements=2"), 2, "given twice"),
        (("--set", "dead_after_failuers=1"), 2, "did you mean dead_after_failures"),
        (("--set", "warn_before_stop_seconds=[0"), 2, "policy.warn_before_stop_seconds"),
        (("--plan", "gold.max_sessions=1"), 2, "no plan has this name"),
        (("--price", "llama=dear"), 2, "must be money"),
        (("--price", "lama=1"), 3, "model lama is unknown"),
        (("--set", "max_placements=1", "--account", "nobody"), 3, "account nobody is unknown"),
    ],
)
def test_what_cannot_be_tried_is_said(
    cli: Cli, world: World, arguments: tuple[str, ...], code: int, said: str
) -> None:
    answer = cli("policy", "try", *arguments)
    assert (answer.code, said in answer.err.replace("\n", " ")) == (code, True), answer.err


MODELS = """
[plans.payg]
max_duration_seconds = 300

[[models]]
id = "llama"
providers = ["alpha"]
provider_model_ids = {alpha = "llama-3"}
type = "LLM"
size = "8B"
learning_stage = "Instruction-tuned"
price_per_node_hour = "2.40"
currency = "USD"

[[models]]
id = "new"
provider = "alpha"
provider_model_id = "new-1"
type = "LLM"
size = "8B"
learning_stage = "Instruction-tuned"
price_per_node_hour = "1"
currency = "USD"
"""


def test_a_file_is_compared_before_it_is_deployed(cli: Cli, world: World, tmp_path: Path) -> None:
    session_id = world.run_session(stop={"max_duration_seconds": 3600})
    capped = world.run_session(stop={"max_cost": "0.10", "max_duration_seconds": 300})
    file = tmp_path / "next.toml"
    file.write_text(CONFIG.replace("max_in_flight = 7", "dead_after_failures = 9") + MODELS)
    report = cli("config", "diff", file, "--json").json
    assert {one["key"]: (one["old"], one["new"]) for one in report["changes"]} == {
        "plans.payg.max_duration_seconds": (86400, 300),
        "providers.morph.dead_after_failures": (None, 9),
        "providers.morph.max_in_flight": (7, 64),
        "models.llama.price_per_node_hour": ("1.20", "2.40"),
        "models.new.price_per_node_hour": (None, "1.00"),
    }
    found = {one["session_id"]: one["reason"] for one in report["findings"]}
    assert found == {session_id: "max_duration", capped: "max_cost"}
    said = cli("config", "diff", file)
    assert (said.code, said.err) == (0, "")
    assert max(map(len, said.out.splitlines())) <= 80


def test_a_file_without_a_provider_at_which_something_lives_is_named(
    cli: Cli, world: World, config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "next.toml"
    file.write_text(CONFIG.replace("[providers.alpha]", "[providers.other]"))
    assert cli("config", "diff", file, "--json").json["left_out_providers"] == []
    world.run_session()
    assert cli("config", "diff", file, "--json").json["left_out_providers"] == ["alpha"]
    said = cli("config", "diff", file)
    assert (said.code, "leaves out alpha" in said.err) == (0, True)
    assert cli("config", "diff", config).err == ""


def test_the_same_file_changes_nothing(cli: Cli, world: World, config: Path) -> None:
    world.run_session()
    said = cli("config", "diff", config)
    assert "nothing changes: every value" in said.out
    assert "sk-" not in said.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("[policy", "is not valid TOML"),
        ("[policy]\ndead_after_failuers = 1", "did you mean dead_after_failures"),
        ('[[models]]\nid = "m"', "models[0]"),
    ],
)
def test_a_file_that_cannot_be_deployed_is_refused(
    cli: Cli, world: World, tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "next.toml"
    if text is not None:
        file.write_text(text)
    answer = cli("config", "diff", file)
    assert (answer.code, said in answer.err) == (2, True), answer.err
    assert answer.err.startswith(f"{file}: "), answer.err
