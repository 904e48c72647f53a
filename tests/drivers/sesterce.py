"""Sesterce under test: each session is an instance of its own."""

from orchestrator.simulator import Simulator
from orchestrator.simulator.platforms.sesterce_fleet import Fleet
from tests.drivers.under_test import PlatformUnderTest
from tests.upstreams import MODEL


def create_at_platform(simulator: Simulator, upstream: str, key: str, label: str | None) -> str:
    fleet = Fleet(simulator, simulator.upstreams[upstream])
    return fleet.create(key, label or "by hand", MODEL, "l40s").id


PLATFORMS = (
    PlatformUnderTest(
        driver="sesterce",
        options={
            "on_open": "create",
            "on_close": "delete",
            "instance": {"hardwareName": "l40s"},
            "poll_seconds": 0.02,
        },
        url_option="control_url",
        open_operation="create",
        long_lists=(("list", "open"), ("list", "list")),
        serves_one_model=True,
        name_there=lambda name: f"orchestrator-{name}",
        open_at_platform=create_at_platform,
    ),
)
