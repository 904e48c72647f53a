"""`orchestrator demo`: start everything, play all scenes at once, sum up, and leave nothing behind."""

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from orchestrator.cli.demo import cast, ending
from orchestrator.cli.demo.actor import Actor, World
from orchestrator.cli.demo.books import StoreView
from orchestrator.cli.demo.checks import Deadline, Expectation, ProviderView, Seen, Summary
from orchestrator.cli.demo.scenes import SCENES, Scene
from orchestrator.cli.demo.screen import Screen, screen_for
from orchestrator.cli.demo.stage import Stage, set_stage, undisturbed
from orchestrator.cli.demo.upstream import SimulatorClient
from orchestrator.cli.demo.watch import Watch
from orchestrator.cli.shared.output import say
from orchestrator.client import JobClient

#: Seconds that the play may take; setting up comes before, clearing away after it.
PLAY = 40.0
#: Seconds that a scene which was called off has to write down that it was late.
LAST_WORDS = 3.0
_FRAME = 0.25
_INTERRUPTED = 130


def run_demo(as_json: bool, scenes: Sequence[Scene] = SCENES, play_seconds: float = PLAY) -> int:
    """Play the scenes. Return 0 if everything happened as expected, 1 if not, 130 after Ctrl-C."""
    screen = screen_for(as_json)
    directory = Path(tempfile.mkdtemp(prefix="orchestrator-demo-"))
    try:
        with _signals_interrupt():
            summary = _summary(directory, scenes, play_seconds, screen)
    except KeyboardInterrupt:
        with undisturbed():
            shutil.rmtree(directory, ignore_errors=True)
        say("interrupted; everything was stopped")
        return _INTERRUPTED
    if summary.ok:
        shutil.rmtree(directory, ignore_errors=True)
    screen.finish(summary)
    return 0 if summary.ok else 1


def perform(
    scenes: Sequence[Scene], world: World, screen: Screen, last_words: float = LAST_WORDS
) -> list[Expectation]:
    """Play every scene on a thread of its own, until all are over or the deadline has passed."""
    actors = [Actor(scene.account, world) for scene in scenes]
    threads = [_begin(scene, actor) for scene, actor in zip(scenes, actors, strict=True)]
    try:
        while world.deadline.left() > 0 and any(thread.is_alive() for thread in threads):
            screen.show(world)
            world.deadline.pause(_FRAME)
    finally:
        world.deadline.call_off()
    _collect(threads, actors, last_words)
    screen.show(world)
    return [check for actor in actors for check in list(actor.checks)]


def _summary(directory: Path, scenes: Sequence[Scene], play_seconds: float, screen: Screen) -> Summary:
    """Return the summary. Any failure becomes a failed check; the logs say more."""
    began = time.monotonic()
    checks: list[Expectation] = []
    view: ProviderView | None = None
    try:
        screen.say("starting the simulated providers and the platform")
        serves = sys.stdout.isatty()  # only a terminal may show a token
        with set_stage(directory, serves=serves) as stage, _world(stage, play_seconds) as world, screen:
            if serves:
                screen.say(f"the console shows it too: {_link(stage)}")
            Actor("stage", world).done_all("model.put", cast.models())
            checks += perform(scenes, world, screen)
            view = world.upstream.view()
            checks += [*ending.check_providers(view), *ending.check_books(world)]
        screen.say("all processes are stopped")
    except Exception as error:  # noqa: BLE001  (a demo that fails says so in its summary)
        checks.append(Expectation("stage", "the demo runs to its end", _sentence(error), ok=False))
    summary = Summary(seconds=time.monotonic() - began, checks=checks, provider_view=view)
    return summary if summary.ok else summary.with_logs(directory)


def _link(stage: Stage) -> str:
    from orchestrator.processes.run import console_link
    from orchestrator.settings import Settings

    return console_link(Settings(database_url=stage.database_url, api_port=stage.api_port))


@contextmanager
def _world(stage: Stage, play_seconds: float) -> Iterator[World]:
    with ExitStack() as stack:
        jobs = stack.enter_context(JobClient(stage.broker_url, stage.result_url))
        books, upstream = StoreView(stage.database_url), SimulatorClient(stage.simulator_url)
        stack.callback(books.close)
        stack.callback(upstream.close)
        watch, deadline = Watch.of(stage.broker_url), Deadline(play_seconds)
        yield World(jobs=jobs, watch=watch, books=books, upstream=upstream, deadline=deadline)


def _begin(scene: Scene, actor: Actor) -> threading.Thread:
    thread = threading.Thread(target=_play, args=(scene, actor), name=scene.account, daemon=True)
    thread.start()
    return thread


def _play(scene: Scene, actor: Actor) -> None:
    try:
        actor.open_account(scene.credit)
        scene.play(actor)
    except Exception as error:  # noqa: BLE001  (one scene that breaks must not hide the others)
        actor.note("the scene runs to its end", Seen(_sentence(error), ok=False))


def _collect(threads: Sequence[threading.Thread], actors: Sequence[Actor], last_words: float) -> None:
    give_up_at = time.monotonic() + last_words
    for thread, actor in zip(threads, actors, strict=True):
        thread.join(max(0.0, give_up_at - time.monotonic()))
        if thread.is_alive():
            actor.note("the scene runs to its end", Seen("it hangs", ok=False))


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Clear away as after Ctrl-C when a signal stops the demo, or its terminal closes."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
