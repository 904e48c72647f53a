"""Each class has a unique name, so that a name in a traceback, a log line or a review means one thing; and nothing has
one of the names that were given up for the field's own."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import orchestrator

ROOT = Path(orchestrator.__file__).parent
TESTS = Path(__file__).parent.parent
#: The simulator shares no code with the rest, and has the same subjects.
APART = ROOT / "simulator"
#: What has run somewhere stays as it was.
FROZEN = ROOT / "store" / "migrations" / "versions"

#: Words that no name contains → what is used instead.
WORDS: Mapping[str, str] = {
    **dict.fromkeys(("stranger", "strangers"), "unknown resource"),
    **dict.fromkeys(("sighting", "sightings"), "reconcile observation"),
    **dict.fromkeys(("wish", "wishes"), "arguments, options, body"),
    **dict.fromkeys(("rung", "rungs", "ladder", "climb", "climbs", "climbed"), "token-limit fallback"),
    "patience": "wait limit",
    **dict.fromkeys(("weather", "storm", "storms"), "faults, bursts"),
    **dict.fromkeys(("squall", "squalls"), "fault mix"),
    **dict.fromkeys(("fate", "fates"), "outcomes"),
    "treasury": "ledger oracle",
    "city": "cluster",
    **dict.fromkeys(("fared", "weighed"), "failed_at, resolved"),
}
#: Whole names that nothing has → what is used instead.
NAMES: Mapping[str, str] = {
    "let_another_look": "wake_next_waiter",
    "let_queues_look": "wake_queues",
    "no_longer_wanted": "begin_close",
    "session_may_be_over": "finish_if_closed",
    "where_due": "providers_with_due_work",
    "Spot": "ProviderKey",
    "Choice": "PlaceCandidate",
    "Live": "ListedResource",
    "Known": "KnownPlacement, PrefetchedAccount",
    "Picture": "ReconcileInput",
    "Terms": "ReconcilePolicy, AccountTerms",
    "Kind": "Action, RowKind",
    "Told": "StateEvent",
    "Now": "AuditContext",
    "Bounds": "Thresholds",
    "Well": "HealthyPing",
    "tell": "log_failure, run_story",
    "told": "announced, reported",
    "told_of": "payload",
    "believed": "clamped, trusted",
    "Wish": "catalog file",
    "How": "SendOptions",
    "Hidden": "Redactor",
    "Words": "StringTuple",
    "Said": "Completion, CliResult",
    "One": "what it is one of",
    "wild_faults": "json_faults",
    "over_quota": "quota_excesses",
    "release_by_hand": "release_brakes",
    "by_hand": "force_close",
    "look_at_funds": "recompute_funds",
    "place_freed": "capacity_freed",
    "lies": "provider faults",
    "key_freed": "announce_freed_key",
    "after_stops": "run_after_stops",
    "after_pings": "note_pings",
    "look_at_queues": "wake_queues",
}


def test_each_class_name_is_used_once() -> None:
    places = defaultdict(list)
    for path in ROOT.rglob("*.py"):
        if APART not in path.parents:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_names_that_were_given_up_do_not_come_back() -> None:
    found = []
    for path in sorted([*ROOT.rglob("*.py"), *TESTS.rglob("*.py")]):
        if FROZEN not in path.parents:
            for line, name in _given_names(ast.parse(path.read_text())):
                found += [f"{path}:{line}: {name}: use {better}" for better in _better(name)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class Spot: ...", ["Spot"]),
        ("def over_quota(strangers): ...", ["over_quota", "strangers"]),
        ("_PATIENCE = 1", ["_PATIENCE"]),
        ("class PatienceOfAll: ...", ["PatienceOfAll"]),
        ("self._rung = None", ["_rung"]),
        ("from rich.live import Live\nLive(storms=1)\nspot = waited = capacity = 1", []),
    ],
)
def test_what_is_found(source: str, expected: list[str]) -> None:
    assert [name for _, name in _given_names(ast.parse(source)) if [*_better(name)]] == expected


def _given_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every name that this module gives to something, in any order, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name


def _better(name: str) -> Iterator[str]:
    plain = name.strip("_")
    if plain in NAMES:
        yield NAMES[plain]
    for word in re.findall(r"[a-z]+|[A-Z][a-z]+|[A-Z]+(?![a-z])", plain):
        if word.lower() in WORDS:
            yield WORDS[word.lower()]
