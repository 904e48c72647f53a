"""The providers that fail after the injected faults, each in one way, so that alerts fire."""

from collections.abc import Mapping
from typing import Any

from tests.processes.platform import morpheus, openai

#: Provider → its simulated platform. The injected faults do not use them; each fails in one way afterwards.
UPSTREAMS: Mapping[str, Mapping[str, Any]] = {
    "refuses": openai("sk-refuses"),
    "poor": openai("sk-poor"),
    "renamed": openai("sk-renamed"),
    "ill": openai("sk-ill"),
    "keeps": morpheus("sk-keeps"),
    "doubtful": morpheus("sk-doubtful"),
    "dying": morpheus(*(f"sk-dying-{n}" for n in range(8))),
}
#: What is configured there. Few failed pings are a doubt, so that a brake comes within seconds.
CONFIGURED: Mapping[str, Mapping[str, Any]] = {
    "ill": {"dead_after_failures": 2, "dead_after_seconds": 1},
    "keeps": {"close_retry_seconds": 0.05, "opens_settle_within_seconds": 0},
    "dying": {"close_retry_seconds": 0.05, "opens_settle_within_seconds": 0},
}
#: Model → its sessions that run before platforms fail. Those of `llama` stay well.
SESSIONS: Mapping[str, int] = {
    "llama": 4,
    "refuses": 1,
    "poor": 1,
    "renamed": 1,
    "ill": 2,
    "keeps": 1,
    "dying": 8,
}
