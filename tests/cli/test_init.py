"""`orchestrator init`: sample configuration that is complete, private where it must be, and overwrites nothing."""

import stat
import tomllib
from pathlib import Path

import pytest

from orchestrator.settings import load_settings
from tests.cli.conftest import Cli

DEPLOY = Path(__file__).parents[2] / "deploy"
#: The samples, as they are in `deploy/`.
SAME = {
    "orchestrator.toml": "laptop.toml",
    "example.toml": "orchestrator.toml",
    "catalog.toml": "catalog.toml",
    "simulator.json": "simulator.json",
}
WIDTH = 80


def variables(path: Path) -> dict[str, str]:
    """Return what a shell, or systemd, reads in the env file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}


def test_it_writes_the_samples_of_the_repository_and_says_what_to_do_next(cli: Cli, tmp_path: Path) -> None:
    said = cli("init", str(tmp_path / "new" / "place"))
    assert (said.code, said.err) == (0, "")
    place = tmp_path / "new" / "place"
    assert {path.name for path in place.iterdir()} == {*SAME, "env"}
    assert {name: (place / name).read_bytes() for name in SAME} == {
        name: (DEPLOY / sample).read_bytes() for name, sample in SAME.items()
    }
    assert all(command in said.out for command in ("orchestrator migrate", "up", "apply catalog.toml"))
    assert [line for line in said.out.splitlines() if len(line) > WIDTH and str(tmp_path) not in line] == []


def test_only_the_owner_reads_the_secrets(cli: Cli, tmp_path: Path) -> None:
    cli("init", str(tmp_path / "etc"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "etc").iterdir()}
    assert modes["env"] == 0o600
    assert all(not mode & 0o022 for mode in modes.values())


def test_the_env_file_has_every_setting_and_the_secrets_that_the_configuration_names(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("init", str(tmp_path / "etc"))
    written = variables(tmp_path / "etc" / "env")
    assert {*variables(DEPLOY / "env.example")} <= {*written}
    providers = tomllib.loads((tmp_path / "etc" / "orchestrator.toml").read_text())["providers"]
    named = {ref.removeprefix("env:") for provider in providers.values() for ref in provider["credentials"]}
    assert all(written[name] for name in named)
    for name, value in written.items():
        monkeypatch.setenv(name, value)
    assert load_settings().config == tmp_path / "etc" / "orchestrator.toml"


def test_each_installation_has_a_fingerprint_key_of_its_own(cli: Cli, tmp_path: Path) -> None:
    for name in ("one", "two"):
        cli("init", str(tmp_path / name))
    keys = {variables(tmp_path / name / "env")["ORCHESTRATOR_FINGERPRINT_KEY"] for name in ("one", "two")}
    assert len(keys) == 2
    assert all(len(key) > 40 for key in keys)


def test_a_file_that_exists_is_kept_and_nothing_else_is_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "catalog.toml").write_text("mine")
    said = cli("init", str(tmp_path / "etc"))
    assert said.code == 1
    assert "catalog.toml" in said.err
    assert "--force" in said.err
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["catalog.toml"]
    assert (tmp_path / "etc" / "catalog.toml").read_text() == "mine"


def test_force_replaces_files_and_loses_none(cli: Cli, tmp_path: Path) -> None:
    """The fingerprint key and the secrets of an env file that was in use are still there, however often it is done."""
    place = tmp_path / "etc"
    place.mkdir()
    for secret in ("KEY=first", "KEY=second"):
        (place / "env").write_text(secret)
        (place / "env").chmod(0o644)
        said = cli("init", str(place), "--force")
        assert (said.code, "the former one is env.old" in said.out) == (0, True)
    assert {name: (place / name).read_text() for name in ("env.old", "env.old2")} == {
        "env.old": "KEY=first",
        "env.old2": "KEY=second",
    }
    assert {stat.S_IMODE((place / name).stat().st_mode) for name in ("env", "env.old", "env.old2")} == {0o600}
    assert not list(place.glob("catalog.toml.*")), "the same content needs no copy"


def test_force_overwrites_and_an_env_file_that_all_could_read_becomes_private(
    cli: Cli, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    place = tmp_path / "etc"
    place.mkdir()
    (place / "env").write_text("old")
    (place / "env").chmod(0o644)
    (place / "catalog.toml").symlink_to(elsewhere)
    assert cli("init", str(place), "--force").code == 0
    assert stat.S_IMODE((place / "env").stat().st_mode) == 0o600
    assert elsewhere.read_text() == "not ours"
    assert (place / "catalog.toml").read_bytes() == (DEPLOY / "catalog.toml").read_bytes()


def test_the_units_come_when_they_are_asked_for(cli: Cli, tmp_path: Path) -> None:
    said = cli("init", str(tmp_path / "etc"), "--systemd")
    assert "cp " in said.out
    assert "orchestrator up" not in said.out
    units = {path.name: path.read_bytes() for path in (tmp_path / "etc" / "systemd").iterdir()}
    assert units == {path.name: path.read_bytes() for path in (DEPLOY / "systemd").iterdir()}
    assert "orchestrator-worker.service" in units


def test_a_place_that_cannot_be_written_to_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = cli("init", str(tmp_path / "file"))
    assert said.code == 1
    assert str(tmp_path / "file") in said.err
    assert len(said.err.splitlines()) == 1
