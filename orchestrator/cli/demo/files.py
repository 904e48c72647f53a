"""The files and environments for the processes: the platform's configuration, and the simulated world."""

import json
import os
from pathlib import Path

from orchestrator.cli.demo import cast

#: What a Python process may need from the outside. Everything else, proxies and settings alike, stays there.
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)

_CONFIGURATION = """\
[policy]
ping_interval_seconds = 1
ping_timeout_seconds = 10
dead_after_failures = 3
dead_after_seconds = 2
start_timeout_seconds = 30
open_timeout_seconds = 20
close_timeout_seconds = 10
close_retry_max_seconds = 2
warn_before_stop_seconds = [2]
idle_grace_seconds = 1

[plans.payg]                          # 20 sessions, 2 at once, 2 nodes each: the built-in quota
max_duration_seconds = 120
min_funded_seconds = 2
billing_block_seconds = {block}
queue_timeout_seconds = 60

[providers.{gateway}]
driver = "morpheus"
base_url = "{url}/{gateway}/api/v1"
credentials = {gateway_refs}

[providers.{endpoint}]
driver = "openai"
base_url = "{url}/{endpoint}/v1"
credentials = {endpoint_refs}
"""


def write_configuration(path: Path, simulator_url: str) -> None:
    """Write the `orchestrator.toml` of the play: like any other, with short intervals."""
    text = _CONFIGURATION.format(
        block=cast.BLOCK_SECONDS,
        gateway=cast.GATEWAY,
        endpoint=cast.ENDPOINT,
        url=simulator_url,
        gateway_refs=json.dumps([f"env:{name}" for name in cast.GATEWAY_KEYS]),
        endpoint_refs=json.dumps([f"env:{name}" for name in cast.ENDPOINT_KEYS]),
    )
    path.write_text(text)


def write_world(path: Path) -> None:
    """Write the simulator's upstreams."""
    gateway = {"kind": "morpheus", "keys": list(cast.GATEWAY_KEYS.values()), "models": [cast.LLAMA]}
    served = [cast.QWEN, cast.QWEN_BASE]
    endpoint = {"kind": "openai", "keys": list(cast.ENDPOINT_KEYS.values()), "models": served}
    path.write_text(json.dumps({"upstreams": {cast.GATEWAY: gateway, cast.ENDPOINT: endpoint}}))


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a demo process: what it needs, without the caller's settings."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | more
