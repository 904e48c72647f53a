"""The upstream platforms of a simulated day: every kind of lifecycle that there is."""

from tests.drivers.fpt import TEMPLATE
from tests.drivers.morpheus_node import WALLET
from tests.upstreams import Upstream

#: The simulator's names of calls that open, that end, and that read.
OPENS = ("open", "create", "models")
CLOSES = ("close",)
ASKS = ("list", "status")
PINGS = ("chat",)


SESTERCE = {
    "on_open": "create",
    "on_close": "delete",
    "instance": {"hardwareName": "l40s"},
    "poll_seconds": 2,
}
_NODE = {"user": WALLET, "open_within_seconds": 60, "list_lag_seconds": 5, "nonce_rest_seconds": 1}

PLATFORMS = (
    Upstream(name="alpha", driver="openai"),
    Upstream(name="beta", driver="openai"),
    Upstream(name="aiml", driver="aimlapi"),
    Upstream(
        name="morph",
        driver="morpheus",
        keys=3,
        options={"close_retry_seconds": 1},
        exclusive=True,
    ),
    Upstream(
        name="node",
        driver="morpheus-node",
        options=_NODE,
        upstream={"list_lag_seconds": 4},
    ),
    Upstream(
        name="cloud",
        driver="sesterce",
        options=SESTERCE,
        upstream={"deploy": [["DEPLOYING", 20]], "list_lag": 3, "stop_lag": 4},
        url_option="control_url",
    ),
    Upstream(
        name="studio",
        driver="fpt",
        options=TEMPLATE,
    ),
)
