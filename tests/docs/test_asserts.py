"""An assertion asks: what changes the world stands on a line of its own."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
#: What the worlds of the tests do: jobs, time, workers.
_OF_A_WORLD = {
    *("job", "done", "send", "perform", "repeat", "create_session", "run_session", "another_worker"),
    *("settle", "pass_time", "jump", "upkeep", "wake_queues"),
}
#: Flows.
_FLOWS = {
    *(
        "open_due",
        "ping_due",
        "close_due",
        "resolve_due",
        "stop_due",
        "funds_due",
        "warn_due",
        "admit_queued",
    ),
    *("post_charges", "wake_queues", "deliver_events", "retry_paused", "reconcile_due", "delete_ended"),
    *("archive_sessions", "forget_old_events", "forget_old_outcomes", "accept_clock"),
}
#: Methods of collections and files.
_CHANGES = {"pop", "popleft", "append", "add", "extend", "remove", "clear", "insert", "setdefault", "unlink"}
EFFECTS = _OF_A_WORLD | _FLOWS | _CHANGES
#: Functions of one test module that build or send something, and change nothing that the test reads.
PURE = {("client/test_requests.py", "job"), ("client/test_sender.py", "send")}


def effects_in(source: str) -> list[tuple[int, str]]:
    """Return the line and the name of each effect inside an assertion."""
    asserted = [node.test for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
    nodes = [node for test in asserted for node in ast.walk(test) if isinstance(node, ast.expr)]
    return [(node.lineno, name) for node in nodes if (name := _effect(node)) is not None]


def _effect(node: ast.expr) -> str | None:
    if isinstance(node, ast.Await | ast.NamedExpr):
        return type(node).__name__
    called = node.func if isinstance(node, ast.Call) else None
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    return name if name in EFFECTS else None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        pytest.param("assert world.session(one).state == 'running'", [], id="a look"),
        pytest.param("assert world.done('session.close')['state'] == 'stopped'", ["done"], id="a job"),
        pytest.param("assert await ask() == 1", ["Await"], id="a call to wait for"),
        pytest.param("assert all(heard.pop() for _ in range(3))", ["pop"], id="inside another expression"),
        pytest.param("assert ping_due(worker).claimed == 1", ["ping_due"], id="a flow"),
    ],
)
def test_effects_are_found(line: str, found: list[str]) -> None:
    assert [name for _, name in effects_in(f"async def f():\n    {line}\n")] == found


def test_no_assertion_has_an_effect() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}: {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for line, name in effects_in(path.read_text(encoding="utf-8"))
        if (str(path.relative_to(TESTS)), name) not in PURE
    ]
    assert found == [], "call it before the assertion, and assert on what it returned"
