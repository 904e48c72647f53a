"""Was every flow's commit, and every call of a driver's method, visited by some story? Read from the code, not a
list."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

import orchestrator.flows
from orchestrator.providers import registry
from orchestrator.providers.http.client import HttpClient
from tests.simulation.crashes import StoryRun
from tests.simulation.platforms import PLATFORMS
from tests.simulation.wire import ORIGIN
from tests.simulation.worker import METHODS
from tests.upstreams import Upstream

#: Only where more than a hundred stops of one account are due at once; what they commit is what `stop_due` commits.
MANY_STOPS = frozenset({"due_stops.stop_all", "due_stops.run_after_stops"})
#: Only where another process holds an account for long; what it commits is what `_give_back` commits.
BUSY = frozenset({"ping_due._ping_again_soon"})
FLOWS = Path(orchestrator.flows.__file__).parent
_NOWHERE = httpx.MockTransport(lambda _request: httpx.Response(404))
#: Only the command line and the console call these: a person sees one fail, and calls it again.
BY_OPERATORS = frozenset({"brake.release_brakes", "accept_clock.accept_clock", "try_out.try_out"})
#: Tokens of the HTTP API: made by a person, who sees it fail; and the note of a use, which the next request repeats.
OF_TOKENS = frozenset({"tokens.create_token", "tokens.authenticate"})
#: Webhooks: put by a person, who sees it fail, or taken from the file by each worker as it starts.
OF_WEBHOOKS = frozenset(
    {"webhooks.put_webhook", "webhooks.delete_webhook", "webhooks.replay", "webhooks.sync_webhooks"}
)
#: Where a clock has jumped, each runs every two seconds, and after a correction until a whole pass has succeeded.
AFTER_A_JUMP = frozenset(
    {"watch_clock.watch_clock", "watch_clock.correct_rows", "correct_times.correct_times"}
)


def unvisited(story_runs: Sequence[StoryRun]) -> list[str]:
    """Return functions of flows that commit, and methods of drivers, that no story came by."""
    asked = {question for story_run in story_runs for question in story_run.asked}
    return sorted({*_silent_commits(story_runs), *(answerable() - asked)})


def answerable() -> set[str]:
    """Return `driver.method` of every method that the drivers of the played platforms have."""
    return {f"{platform.driver}.{method}" for platform in PLATFORMS for method in _methods(platform)}


def _methods(platform: Upstream) -> Iterator[str]:
    options = {"base_url": ORIGIN, platform.url_option: ORIGIN, **platform.options}
    driver = registry.build(platform.name, platform.driver, options, HttpClient(transport=_NOWHERE))
    card = driver.card
    for method in METHODS:
        offered = {"list": card.status.can_list, "status": card.status.can_ask}.get(method, True)
        if offered and hasattr(driver, method):
            yield method


def _silent_commits(story_runs: Sequence[StoryRun]) -> list[str]:
    points = {point for story_run in story_runs for point in story_run.points}
    seen = {point.partition(" commit of ")[2] for point in points if " commit of " in point}
    apart = BY_OPERATORS | OF_TOKENS | OF_WEBHOOKS | AFTER_A_JUMP | MANY_STOPS | BUSY
    return sorted(name for name in committing() if name not in seen | apart)


def committing() -> set[str]:
    """Return `module.function` of every function in flows that hands a transaction to the store."""
    return {
        f"{path.stem}.{name}"
        for path in FLOWS.rglob("*.py")
        for name, body in _functions(ast.parse(path.read_text()))
        if any(_commits(node) for node in ast.walk(body))
    }


def _functions(module: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def _commits(node: ast.AST) -> bool:
    """Return whether this node opens a transaction, or passes one to a helper."""
    if isinstance(node, ast.Name):
        return node.id == "run_after_stops"
    return isinstance(node, ast.Attribute) and node.attr == "transact"
