"""Prove the alerts on the installation that a storm has left.

None fires while all is well, each fires by its real cause, and each ends after it."""

import time
from contextlib import ExitStack
from datetime import UTC, datetime

from tests.chaos.causes import CAUSES, Stage
from tests.chaos.prometheus import Prometheus
from tests.chaos.scene import Scene
from tests.waiting import Unseen, eventually

#: Seconds in which no alert may fire.
QUIET = 6.0
#: Seconds within which alerts fire after their causes, and end after them, on a busy machine.
WITHIN = 150.0
#: Seconds between two looks at Prometheus.
LOOK = 0.25
#: Seconds between two audits, while silence is waited for.
AUDITED_EVERY = 1.5


def prove_alerts(scene: Scene) -> set[str]:
    """Let each alert fire and end. Return those that fired in the quiet before, of which there should be none."""
    until_silent(scene, "the alerts of the storm")
    scene.wake("audit")
    since = datetime.now(UTC)
    time.sleep(QUIET)
    false = scene.prometheus.fired(since)
    _bring_about(scene)
    until_silent(scene, "the alerts, after their causes,")
    return false


def until_silent(scene: Scene, what: str) -> None:
    """Wait until no alert fires. The audit runs more often than each minute, as its alert waits less than ten."""

    def is_silent() -> bool:
        scene.wake("audit")
        return not scene.prometheus.firing()

    try:
        eventually(is_silent, "silence", WITHIN, every=AUDITED_EVERY)
    except Unseen:
        firing = sorted(scene.prometheus.firing())
        raise Unseen(f"{what} have not ended within {WITHIN:g} s: {firing}") from None


def _bring_about(scene: Scene) -> None:
    with ExitStack() as lasting:
        first = _begin(scene, Stage.LASTING, lasting)
        _pass(scene, Stage.UNHEARD, Stage.UNSCHEDULED)
        _until_fired(scene.prometheus, *first)
        _pass(scene, Stage.DATABASE, Stage.UNSEEN)  # every alert begins to wait again after these


def _pass(scene: Scene, *stages: Stage) -> None:
    """Bring about these stages, one after the other; each until its alerts have fired."""
    for stage in stages:
        with ExitStack() as passing:
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
