"""The demo as a whole: a process that ends by itself, reports each scene, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.demo.scenes import SCENES
from orchestrator.cli.demo.stage import NotUp, set_stage
from tests.waiting import eventually

pytestmark = pytest.mark.slow

ALL = "from orchestrator.cli.demo.play import run_demo; raise SystemExit(run_demo(as_json=True))"

#: Two scenes that must fail, and a play that is over soon.
WRONG = """
from orchestrator.cli.demo import cast
from orchestrator.cli.demo.play import run_demo
from orchestrator.cli.demo.scenes import Scene

def never(actor):
    session = actor.create("lives-on", cast.QWEN)
    actor.expect_states(session, "starting", "running", "stopping", "stopped", reason="user")

def allowed(actor):
    actor.expect_refusal("a first session", "no_capacity", actor.request("first", cast.QWEN))

scenes = [Scene("zoe", "1.00", never), Scene("yan", "1.00", allowed)]
raise SystemExit(run_demo(as_json=True, scenes=scenes, play_seconds=4))
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    """Return a directory for the demo's temporary files; its path is short, because a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name)


def test_everything_happens_as_it_has_to_within_a_minute(directory: Path) -> None:
    began = time.monotonic()
    process = _demo(directory, ALL)
    output, errors = process.communicate(timeout=120)
    summary = json.loads(output)
    assert [check for check in summary["checks"] if not check["ok"]] == []
    assert (process.returncode, summary["ok"], errors) == (0, True, "")
    assert time.monotonic() - began < 60
    assert {scene.account for scene in SCENES} < {check["scene"] for check in summary["checks"]}
    _assert_provider_view(summary["provider_view"])
    _assert_nothing_left(directory)


def test_what_did_not_happen_is_named_and_the_logs_are_kept(directory: Path) -> None:
    process = _demo(directory, WRONG)
    output, _ = process.communicate(timeout=120)
    summary = json.loads(output)
    failed = {(check["scene"], check["happened"]) for check in summary["checks"] if not check["ok"]}
    assert process.returncode == 1
    assert not summary["ok"]
    assert {("zoe", "starting → running"), ("yan", "accepted: it is starting")} <= failed
    logs = Path(summary["logs"])
    assert logs.parent == directory
    assert {"platform.log", "simulator.log", "orchestrator.toml"} <= {path.name for path in logs.iterdir()}
    assert _processes_of(directory) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_leave_it_takes_everything_along(directory: Path, number: signal.Signals) -> None:
    process = _demo(directory, ALL)
    eventually(lambda: any(directory.glob("*/data/valkey.sock")), "the demo")
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert "interrupted" in errors
    _assert_nothing_left(directory)


def test_a_platform_that_does_not_start_says_why(directory: Path) -> None:
    (directory / "orchestrator.db").mkdir()  # no file can be written there
    with pytest.raises(NotUp, match="the platform ended with"), set_stage(directory):
        pass
    assert _processes_of(directory) == []


def _demo(directory: Path, code: str) -> "subprocess.Popen[str]":
    misleading = {
        "ORCHESTRATOR_DATABASE_URL": "sqlite:////nowhere/at.all",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | misleading | {"TMPDIR": str(directory)},
    )


def _assert_provider_view(view: dict[str, Any]) -> None:
    assert (view["open_now"], view["pings_after_close"]) == (0, 0)
    assert set(view["most_active_per_key"]["gateway"].values()) == {1}
    assert view["opens"] == view["closes"] == 5
    assert view["calls"]["chat"] > 5


def _assert_nothing_left(directory: Path) -> None:
    assert list(directory.iterdir()) == []
    assert _processes_of(directory) == []


def _processes_of(directory: Path) -> list[str]:
    """Return command lines that name the directory, without this test's own; Linux only, elsewhere none are seen."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            line, cwd = (path / "cmdline").read_bytes().decode(errors="replace"), os.readlink(path / "cwd")
        except OSError:
            continue  # it ended meanwhile, or belongs to another user
        if int(path.name) != os.getpid() and str(directory) in line + cwd:
            found.append(line)
    return found
