"""`python -m tests.tools.journey`: trace which files a ping, a create and a stop come through; write docs/journeys.md.

Counted is each file of `orchestrator/`, without the simulator, in which a function runs. What runs while a module is
imported does not count: a process does it once."""

import pkgutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import orchestrator.store.queries
from orchestrator.flows.steps.close_due import close_due
from orchestrator.flows.steps.open_due import open_due
from orchestrator.flows.steps.ping.ping_due import ping_due
from orchestrator.flows.steps.stop_due import stop_due
from orchestrator.rules.states import State
from orchestrator.store import migrate
from orchestrator.store.database import Database
from tests.world import HOUR, MINUTE, World

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "journeys.md"
#: File → the first function of each name that ran there, in order.
Trace = Mapping[str, Mapping[str, None]]


def good_ping(world: World) -> Callable[[], None]:
    """Ping a session that runs."""
    world.run_session("llama")
    ping_due(world.services)  # what a process does once is done
    world.jump(MINUTE)
    return lambda: _is(ping_due(world.services).settled, 1)


def create_to_running(world: World) -> Callable[[], None]:
    """Create a session, open its placement, and run it by its first good ping."""

    def create() -> None:
        session_id = world.create_session("llama")
        open_due(world.services)
        ping_due(world.services)
        _is(world.session(session_id).state, State.RUNNING)

    return create


def stop_with_charge(world: World) -> Callable[[], None]:
    """Stop a session at the end of its duration, charge it, and close its placement."""
    session_id = world.run_session("llama", stop={"max_duration_seconds": 3600})
    world.jump(HOUR + MINUTE)

    def stop() -> None:
        stop_due(world.services)
        close_due(world.services)
        _is(world.session(session_id).state, State.STOPPED)

    return stop


@dataclass(frozen=True, kw_only=True, slots=True)
class Journey:
    """A journey through the world, and how many files it may come through."""

    prepare: Callable[[World], Callable[[], None]]
    target: int
    """What is aimed at."""
    at_most: int
    """What has been reached: no change may make the journey longer. Lower it where a change makes it shorter."""


JOURNEYS = {
    "A good ping": Journey(prepare=good_ping, target=20, at_most=39),
    "Create to running": Journey(prepare=create_to_running, target=45, at_most=92),
    "A stop with its charge": Journey(prepare=stop_with_charge, target=20, at_most=55),
}


def traces() -> dict[str, Trace]:
    """Play each journey in a world of its own."""
    _import_queries()
    found = {}
    for name, journey in JOURNEYS.items():
        with tempfile.TemporaryDirectory() as directory:
            url = f"sqlite:///{directory}/orchestrator.db"
            database = Database(url)
            migrate.upgrade(database)
            database.dispose()
            found[name] = _traced(url, journey.prepare)
    return found


def written(found: Mapping[str, Trace]) -> str:
    """Return the page."""
    lines = ["# Journeys", "", "Which files three journeys come through, in the order in which they are first needed.",
             "`python -m tests.tools.journey` traces them and writes this page.", "",
             "| journey | files | target |", "|---|---|---|"]  # fmt: skip
    lines += [f"| {name} | {len(trace)} | {JOURNEYS[name].target} |" for name, trace in found.items()]
    lines += [
        "",
        "None may become longer: `tests/tools/journey.py` says how many files each comes through at most.",
        "",
    ]
    for name, trace in found.items():
        lines += [f"## {name}: {len(trace)} files", "", "| file | functions, in order |", "|---|---|"]
        lines += [f"| `{file}` | {', '.join(functions)} |" for file, functions in trace.items()]
        lines.append("")
    return "\n".join(lines)


def _import_queries() -> None:
    """Import what a transaction imports when it is first used."""
    for module in pkgutil.iter_modules(orchestrator.store.queries.__path__):
        import_module(f"{orchestrator.store.queries.__name__}.{module.name}")


def _traced(url: str, prepare: Callable[[World], Callable[[], None]]) -> Trace:
    began = threading.Event()
    seen: dict[str, dict[str, None]] = {}
    with _profiling(began, seen), World(url) as world:
        journey = prepare(world)
        began.set()
        journey()
        began.clear()
    return seen


@contextmanager
def _profiling(began: threading.Event, seen: dict[str, dict[str, None]]) -> Iterator[None]:
    """Note each function of ours that is called in any thread while `began` is set."""
    ours = str(ROOT / "orchestrator") + "/"

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call" or not began.is_set() or not frame.f_code.co_filename.startswith(ours):
            return
        file = frame.f_code.co_filename.removeprefix(ours)
        if not file.startswith("simulator/") and not frame.f_code.co_name.startswith(("<", "__")):
            seen.setdefault(file, {}).setdefault(frame.f_code.co_name)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _is(seen: object, wanted: object) -> None:
    if seen != wanted:
        raise RuntimeError(f"the journey did not arrive: {seen} instead of {wanted}")


if __name__ == "__main__":
    PAGE.write_text(written(traces()))
