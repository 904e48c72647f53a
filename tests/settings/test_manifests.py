"""What the files of deploy/ for containers set is what the processes read, and fits how they end."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from orchestrator import __version__
from orchestrator.cli.tree import PLACES
from orchestrator.processes.tree import GRACE
from orchestrator.settings import Configuration, load_configuration, unknown_variables

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
#: Files that set our variables.
SETTING = [COMPOSE, DEPLOY / "docker" / "Dockerfile", DEPLOY / "kubernetes" / "settings.yaml"]
RUNNING = {"worker", "scheduler", "up", "demo"}


@pytest.mark.parametrize("path", SETTING, ids=lambda path: path.name)
def test_each_variable_is_one_that_is_read(path: Path) -> None:
    names = set(re.findall(r"\b(ORCHESTRATOR_[A-Z_]+)\b", path.read_text()))
    assert len(names) > 2
    assert list(unknown_variables(Configuration(), dict.fromkeys(names, ""))) == []


def test_containers_have_the_time_to_drain() -> None:
    compose = [int(found) for found in re.findall(r"stop_grace_period: (\d+)s", COMPOSE.read_text())]
    pods = {
        path.name: int(found[1])
        for path in MANIFESTS
        if (found := re.search(r"terminationGracePeriodSeconds: (\d+)", path.read_text()))
    }
    assert min(compose) > GRACE
    assert set(pods) == {"migrate.yaml", "worker.yaml", "scheduler.yaml", "api.yaml"}
    assert all(seconds > GRACE for seconds in pods.values())


def test_each_container_runs_a_command_that_there_is() -> None:
    words = re.findall(
        r"(?:^    command|args): \[(\w+)", COMPOSE.read_text() + _all_manifests(), re.MULTILINE
    )
    assert {"migrate", "worker", "scheduler", "api", "simulator"} <= {*words}
    assert {*words} - {"postgres", "valkey"} <= {*PLACES, *RUNNING}


def test_one_service_builds_the_image_and_no_registry_is_asked_for_it() -> None:
    """Docker builds services beside each other. Two that export one image fail where it is not there yet."""
    shared = yaml.safe_load(COMPOSE.read_text())["services"]
    ours = {name: one for name, one in shared.items() if one["image"].startswith("session-orchestrator")}
    assert [name for name, one in ours.items() if "build" in one] == ["migrate"]
    assert {one["pull_policy"] for one in ours.values()} == {"never"}
    assert {"worker", "scheduler", "api", "simulator"} <= ours.keys()


def test_a_change_of_the_configuration_leaves_the_job_of_the_migration_as_it_is() -> None:
    """The name of its ConfigMap changes with what is in it, and Kubernetes refuses to change a Job."""
    assert "orchestrator-configuration" not in (DEPLOY / "kubernetes" / "migrate.yaml").read_text()


def test_compose_uses_the_simulated_platforms_of_the_laptop_under_another_host() -> None:
    laptop = (DEPLOY / "laptop.toml").read_text().replace("127.0.0.1", "simulator")
    composed = (DEPLOY / "docker" / "orchestrator.toml").read_text()
    assert tomllib.loads(composed) == tomllib.loads(laptop)


@pytest.mark.parametrize("path", ["docker/orchestrator.toml", "kubernetes/orchestrator.toml"])
def test_the_configuration_of_containers_is_valid(path: str) -> None:
    named = tomllib.loads((DEPLOY / path).read_text())["providers"]
    assert load_configuration(DEPLOY / path, require_secrets=False).providers.keys() == named.keys()


def test_the_image_of_the_manifests_is_this_release() -> None:
    tags = re.findall(r"image: session-orchestrator:(\S+)", _all_manifests())
    assert tags == [__version__] * 4


def _all_manifests() -> str:
    return "".join(path.read_text() for path in MANIFESTS)
