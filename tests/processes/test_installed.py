"""A plain installation, without the tools of a clone: what is not declared as a dependency is missing there."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed import ROOT, Installed, built, install, outside, run
from tests.processes.test_api import free_port
from tests.processes.test_readme import run_script
from tests.waiting import WAIT_LIMIT, eventually


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    directory = tmp_path_factory.mktemp("worker")
    return install(f"session-orchestrator[up] @ {built(ROOT, directory).as_uri()}", directory)


@pytest.fixture(scope="module")
def with_demo(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    directory = tmp_path_factory.mktemp("demo")
    return install(f"session-orchestrator[demo] @ {built(ROOT, directory).as_uri()}", directory)


@pytest.fixture
def up(installed: Installed, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `orchestrator up` until the test is over."""
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [installed.bin / "orchestrator", "up"], cwd=tmp_path, env=outside(), stderr=log
        )
    try:
        eventually(lambda: "orchestrator is up" in (tmp_path / "up.log").read_text(), "it is up")
        yield process
    finally:
        process.terminate()
        process.wait(WAIT_LIMIT)


def test_it_runs_the_whole_platform_and_carries_out_a_job(
    installed: Installed, up: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    orchestrator = installed.bin / "orchestrator"
    put = (orchestrator, "account", "put", "acme", "--plan", "payg", "--currency", "USD", "--timeout", "60")
    run(*put, "--json", cwd=tmp_path)
    assert json.loads(run(orchestrator, "account", "show", "acme", "--json", cwd=tmp_path))["plan"] == "payg"
    up.send_signal(signal.SIGTERM)
    assert up.wait(WAIT_LIMIT) == 0


def test_the_commands_that_init_prints_lead_to_a_session_that_runs(
    installed: Installed, tmp_path: Path
) -> None:
    said = run(installed.bin / "orchestrator", "init", "here", cwd=tmp_path)
    printed = "\n".join(
        line.strip() for line in re.findall(r"^  .*$", said.partition("Next")[2], re.MULTILINE)
    )
    ports = {"8900": str(free_port()), "8800": str(free_port())}
    for usual, free in ports.items():
        printed = printed.replace(usual, free)
        for name in ("env", "orchestrator.toml"):
            file = tmp_path / "here" / name
            file.write_text(file.read_text().replace(usual, free))
    patient = "for _ in {1..60}; do ! orchestrator doctor || break; sleep 1; done"  # the first wake-up is still to come
    script = f"{printed}\n{patient}\norchestrator doctor\norchestrator session list --json > sessions"
    path = f"{installed.bin}{os.pathsep}{os.environ['PATH']}"
    run_script(script, tmp_path, outside() | {"PATH": path})
    [session] = json.loads((tmp_path / "here" / "sessions").read_text())
    assert (session["account_id"], session["state"]) == ("acme", "running")


def test_the_demo_plays_outside_the_repository(with_demo: Installed, tmp_path: Path) -> None:
    """Whether all of it is right within a minute is asked of a quieter machine: by `make demo`."""
    done = subprocess.run(
        [with_demo.bin / "orchestrator", "demo", "--json"],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env=outside(),
    )
    summary = json.loads(done.stdout)
    assert {"bob", "carol"} <= {check["scene"] for check in summary["checks"]}
    assert summary["provider_view"]["open_now"] == 0


def test_every_transport_that_the_settings_accept_can_be_loaded(installed: Installed, tmp_path: Path) -> None:
    load = "import sys; from kombu.transport import resolve_transport; list(map(resolve_transport, sys.argv[1:]))"
    schemes = ("redis", "rediss", "sentinel", "amqp", "amqps")
    run(installed.bin / "python", "-c", load, *schemes, cwd=tmp_path)


def test_the_pages_of_the_console_are_installed(installed: Installed) -> None:
    here, there = ROOT / "orchestrator/console", installed.site_packages / "orchestrator/console"
    for folder in ("templates", "static"):
        files = {path.name: path.read_bytes() for path in (here / folder).iterdir()}
        assert {path.name: path.read_bytes() for path in (there / folder).iterdir()} == files
    assert "htmx-LICENSE.txt" in files
