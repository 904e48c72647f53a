"""Hugging Face Inference Endpoints under test."""

import base64
import uuid

from orchestrator.simulator import Simulator
from orchestrator.simulator.platforms.huggingface_hosting import Hosting
from tests.drivers.under_test import PlatformUnderTest
from tests.upstreams import MODEL


def name_there(placement_id: str) -> str:
    return "orch-" + base64.b32encode(uuid.UUID(placement_id).bytes).decode().rstrip("=").lower()


def create_at_platform(simulator: Simulator, upstream: str, key: str, label: str | None) -> str:
    name = label or "by-hand"
    hosting = Hosting(simulator, simulator.upstreams[upstream])
    return hosting.create(key, name, MODEL, {"name": name, "model": {"repository": MODEL}}).session


PLATFORMS = (
    PlatformUnderTest(
        driver="huggingface",
        options={"namespace": "team", "instance_type": "nvidia-l4", "poll_seconds": 0.02},
        open_operation="create",
        long_lists=(("list", "list"),),
        serves_one_model=True,
        name_there=name_there,
        open_at_platform=create_at_platform,
    ),
)
