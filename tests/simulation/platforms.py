"""The upstream platforms of a simulated day: every kind of lifecycle that there is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.providers.stage import TEMPLATE, WALLET

MODEL = "llama-3"
#: The simulator's names of calls that open, that end, and that read.
OPENS = ("open", "create", "models")
CLOSES = ("close",)
ASKS = ("list", "status")
PINGS = ("chat",)


@dataclass(frozen=True, kw_only=True)
class Platform:
    """One provider, its simulated upstream, and its configuration."""

    name: str
    driver: str
    keys: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    upstream: Mapping[str, Any] = field(default_factory=dict)
    url_option: str = "base_url"
    exclusive: bool = False

    @property
    def refs(self) -> tuple[str, ...]:
        return tuple(f"env:{self.secret}_{n}" for n in range(1, self.keys + 1))

    @property
    def secret(self) -> str:
        return self.name.upper().replace("-", "_")

    def key(self, n: int) -> str:
        """Return the n-th secret; a node's is a user and a password."""
        return f"sk-{self.name}-{n}"


SESTERCE = {
    "on_open": "create",
    "on_close": "delete",
    "instance": {"hardwareName": "l40s"},
    "poll_seconds": 2,
}
_NODE = {"user": WALLET, "open_within_seconds": 60, "list_lag_seconds": 5, "nonce_rest_seconds": 1}

PLATFORMS = (
    Platform(name="alpha", driver="openai"),
    Platform(name="beta", driver="openai"),
    Platform(name="aiml", driver="aimlapi"),
    Platform(
        name="morph",
        driver="morpheus",
        keys=3,
        options={"close_retry_seconds": 1},
        exclusive=True,
    ),
    Platform(
        name="node",
        driver="morpheus-node",
        options=_NODE,
        upstream={"list_lag_seconds": 4},
    ),
    Platform(
        name="cloud",
        driver="sesterce",
        options=SESTERCE,
        upstream={"deploy": [["DEPLOYING", 20]], "list_lag": 3, "stop_lag": 4},
        url_option="control_url",
    ),
    Platform(
        name="studio",
        driver="fpt",
        options=TEMPLATE,
    ),
)
