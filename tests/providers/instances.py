"""Sesterce accounts under test, and queries of their instances."""

from typing import Any

from orchestrator.providers.port.driver import (
    Life,
    Placed,
)
from orchestrator.rules.values import Verdict
from tests.drivers import MODEL, PlatformUnderTest, platform_of
from tests.providers.stage import Stage

CREATE = platform_of("sesterce")
SHORT = {"open_timeout_seconds": 0.3}


def kind(on_open: str, on_close: str, **more: Any) -> PlatformUnderTest:
    options = {"on_open": on_open, "on_close": on_close, "poll_seconds": 0.02, **more}
    return PlatformUnderTest(
        driver="sesterce", open_operation="list", options=options, url_option="control_url"
    )


ATTACH, START = kind("attach", "stop"), kind("start", "stop")
SEED = {"id": "aaa1", "model": MODEL}


def live(stage: Stage) -> list[str]:
    return [session.id for session in stage.server.open_sessions()]


def operations(stage: Stage) -> list[str]:
    return [call.operation for call in stage.server.log(upstream="up")]


def verdict(stage: Stage, placed: Placed, **options: Any) -> Verdict:
    return stage.play(lambda driver: driver.probe(stage.target(placed)), **options).verdict


def life(stage: Stage, placed: Placed, **options: Any) -> Life:
    return stage.play(lambda driver: driver.status(stage.target(placed)), **options).life


def close(stage: Stage, placed: Placed, **options: Any) -> str:
    return stage.play(lambda driver: driver.close(stage.target(placed)), **options).proof
