"""Prove the alerts on the installation that injected faults have left.

None fires while all is well, each fires by its real cause, and each ends after it."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime

from tests.chaos.causes import CAUSES, Stage
from tests.chaos.prometheus import Prometheus
from tests.chaos.report import timed
from tests.chaos.scene import Scene
from tests.waiting import Unseen, eventually

#: Seconds in which no alert may fire.
QUIET = 6.0
#: Seconds within which alerts fire after their causes, and end after them, on a busy machine.
WITHIN = 120.0
#: What holds once two workers and two schedulers are scraped, each worker with a process of every kind.
EVERYTHING_IS_UP = "count(up == 1) == 4 and on() min(max by (kind) (orchestrator_processes)) == 2"
#: What holds while no alert fires or waits to fire.
NO_ALERT = "absent(ALERTS)"
#: Seconds between two reads of Prometheus.
LOOK = 0.25
#: Upkeep without which alerts do not end, and the seconds between two runs of it while silence is waited for.
UPKEEP, UPKEPT_EVERY = ("audit", "keys"), 1.5


def prove_alerts(scene: Scene) -> set[str]:
    """Let each alert fire and end. Return those that fired in the quiet before, of which there should be none."""
    with timed("until the alerts of the faults have ended"):
        until_silent(scene, "the alerts of the faults")
        _until_at_rest(scene)
    with timed("quiet"):
        false = _fired_in_the_quiet(scene)
    _bring_about(scene)
    with timed("until the alerts have ended after their causes"):
        until_silent(scene, "the alerts, after their causes,")
    return false


def _until_at_rest(scene: Scene) -> None:
    """Wait until every process is up, and no alert even waits to fire."""

    def is_at_rest() -> bool:
        _keep_up(scene)
        return all(scene.prometheus.holds(one) for one in (EVERYTHING_IS_UP, NO_ALERT))

    eventually(is_at_rest, "every process is up, and no alert waits to fire", WITHIN, every=UPKEPT_EVERY)


def _fired_in_the_quiet(scene: Scene) -> set[str]:
    since = datetime.now(UTC)
    scene.wake("audit")
    time.sleep(QUIET)
    return scene.prometheus.fired(since)


def until_silent(scene: Scene, what: str) -> None:
    """Wait until no alert fires."""

    def is_silent() -> bool:
        _keep_up(scene)
        return not scene.prometheus.firing()

    try:
        eventually(is_silent, "silence", WITHIN, every=UPKEPT_EVERY)
    except Unseen:
        firing = sorted(scene.prometheus.firing())
        raise Unseen(f"{what} have not ended within {WITHIN:g} s: {firing}") from None


def _keep_up(scene: Scene) -> None:
    """Let upkeep run more often than each minute, as alerts wait less, too."""
    for tick in UPKEEP:
        scene.wake(tick)


def _bring_about(scene: Scene) -> None:
    with ExitStack() as lasting:
        with timed(f"the causes of stage {Stage.LASTING.name}"):
            first = _begin(scene, Stage.LASTING, lasting)
        _pass(scene, Stage.UNHEARD, Stage.UNSCHEDULED)
        with timed(f"until the last alert of stage {Stage.LASTING.name} has fired"):
            _until_fired(scene.prometheus, *first)
        _pass(scene, Stage.DATABASE, Stage.UNSEEN)  # every alert begins to wait again after these


def _pass(scene: Scene, *stages: Stage) -> None:
    """Bring about these stages, one after the other; each until its alerts have fired."""
    for stage in stages:
        with timed(f"stage {stage.name}"), ExitStack() as passing:
            _until_fired(scene.prometheus, *_begin(scene, stage, passing))


def _begin(scene: Scene, stage: Stage, stack: ExitStack) -> tuple[datetime, set[str]]:
    """Bring about the causes of a stage, until the stack ends. Return since when, and the alerts that they fire."""
    since, of_stage = datetime.now(UTC), [cause for cause in CAUSES if cause.stage is stage]
    for cause in of_stage:
        stack.enter_context(cause.act(scene))
    return since, {alert for cause in of_stage for alert in cause.alerts}


def _until_fired(prometheus: Prometheus, since: datetime, wanted: set[str]) -> None:
    give_up_at = time.monotonic() + WITHIN
    while missing := wanted - prometheus.fired(since):
        if time.monotonic() > give_up_at:
            why = f"alerts that have not fired within {WITHIN:g} s of their causes"
            raise Unseen(f"{why}: {sorted(missing)}")
        time.sleep(LOOK)
