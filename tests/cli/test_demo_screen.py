"""The demo's output: lines, tables, and only JSON for machines."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cli.demo import tables
from orchestrator.cli.demo.checks import Expectation, ProviderView, Summary
from orchestrator.cli.demo.screen import JsonScreen, PlainScreen
from tests.cli.test_demo_checks import VIEW, a_world, an_event

GOOD = Expectation("zoe", "it lives", "it lives", ok=True)
BAD = Expectation("zoe", "it lives", "it died", ok=False)


def a_console() -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=120), written


def a_session(name: str, state: str, **more: Any) -> dict[str, Any]:
    common = {"account_id": "zoe", "name": name, "model_id": "llama", "provider": None, "state": state}
    money = {"stop_reason": None, "cost": "0.05", "currency": "USD", "last_ping": None}
    return common | money | more


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(
            an_event("stopping", previous_state="running", state="stopping", stop_reason="dead"),
            "zoe/chat running → stopping (dead)",
            id="a change of state, and why",
        ),
        pytest.param(
            an_event("starting", previous_state=None, state="starting"), "zoe/chat starting", id="its first"
        ),
        pytest.param(
            an_event("suspect", previous_state="running", state="running"), "zoe/chat suspect", id="a doubt"
        ),
    ],
)
def test_each_change_is_one_line(event: dict[str, Any], line: str) -> None:
    console, written = a_console()
    world = a_world()
    world.watch.take(event)
    PlainScreen(console).show(world)
    seconds, _, text = written.getvalue().strip().partition("s ")
    assert (float(seconds), text) == (0.0, line)


def test_the_table_has_a_row_for_each_session_and_one_for_all_that_were_never_started() -> None:
    kept = [a_session(f"kept-{n}", "created") for n in range(20)]
    ping = {"at": "2026-01-01T12:00:00Z", "verdict": "TRANSIENT", "latency_ms": 1, "detail": ""}
    stopped = a_session("chat", "stopped", stop_reason="dead", provider="gateway", last_ping=ping)
    console, written = a_console()
    console.print(tables.of_sessions([*kept, stopped], 7.2))
    rows = [line.split() for line in written.getvalue().splitlines() if "zoe" in line]
    assert rows[0][:8] == ["zoe", "chat", "llama", "gateway", "stopped", "dead", "0.05", "USD"]
    assert rows[0][-1] == "TRANSIENT"
    assert rows[1:] == [["zoe", "20", "sessions", "llama", "created"]]


def test_the_table_fits_into_80_columns() -> None:
    long = a_session(
        "a-session-with-a-long-name", "stopping", stop_reason="balance_exhausted", provider="gateway"
    )
    written = io.StringIO()
    ping = {"at": "2026-01-01T12:00:00Z", "verdict": "MISCONFIGURED", "latency_ms": 1, "detail": ""}
    Console(file=written, width=80).print(tables.of_sessions([long | {"last_ping": ping}] * 3, 7.2))
    assert max(map(len, written.getvalue().splitlines())) <= 80
    assert written.getvalue().count("balance_exhausted") == 3, "one line each, and nothing cut that matters"


@pytest.mark.parametrize(
    ("checks", "view", "last_line"),
    [
        ([GOOD], VIEW, "all 1 as they had to be, in 1.0 s"),
        ([GOOD, BAD], VIEW, "1 of 2 not as they had to be"),
        ([BAD], None, "1 of 1 not as they had to be"),
    ],
)
def test_the_end_compares_and_counts(
    checks: list[Expectation], view: ProviderView | None, last_line: str
) -> None:
    console, written = a_console()
    PlainScreen(console).finish(Summary(seconds=1, checks=checks, provider_view=view))
    lines = [line.strip() for line in written.getvalue().splitlines() if line.strip()]
    assert [line[-1] for line in lines if line.startswith("zoe")] == ["✓" if c.ok else "✗" for c in checks]
    assert ("open now 0" in written.getvalue()) is (view is not None)
    assert lines[-1] == last_line


def test_machines_get_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    screen = JsonScreen()
    with screen:
        screen.say("starting")
        screen.show(a_world())
    screen.finish(Summary(seconds=1, checks=[GOOD], provider_view=VIEW))
    output = capsys.readouterr()
    assert json.loads(output.out)["ok"] is True
    assert output.err == ""
