"""FPT AI Studio under test: sessions that an operator opens, and a control API that a template describes."""

from typing import Any

from tests.drivers.under_test import PlatformUnderTest

#: The simulated studio's control API, as an operator would describe it.
TEMPLATE: dict[str, Any] = {
    "mode": "template",
    "names_create": True,
    "open": {
        "method": "POST",
        "url": "/sessions",
        "headers": {"authorization": "Bearer {secret}"},
        "body": {"name": "{name}", "model": "{model}", "duration_seconds": "{duration_seconds}"},
        "handle": "data.id",
        "endpoint_url": "data.endpoint.url",
        "endpoint_model": "data.endpoint.model",
        "ends_at": "data.endsAt",
    },
    "status": {
        "method": "GET",
        "url": "/sessions/{name}",
        "headers": {"authorization": "Bearer {secret}"},
        "status": "data.status",
        "words": {"Initializing": "starting", "Running": "running", "Failed": "gone", "Stopped": "stopped"},
        "handle": "data.id",
        "endpoint_url": "data.endpoint.url",
        "endpoint_model": "data.endpoint.model",
        "ends_at": "data.endsAt",
    },
    "close": {
        "method": "DELETE",
        "url": "/sessions/{handle}",
        "headers": {"authorization": "Bearer {secret}"},
    },
    "list": {
        "method": "GET",
        "url": "/sessions",
        "headers": {"authorization": "Bearer {secret}"},
        "items": "data.items",
        "handle": "data.id",
        "name": "data.name",
        "opened_at": "data.createdAt",
        "ends_at": "data.endsAt",
        "status": "data.status",
        "live_words": ["Initializing", "Running"],
        "total": "data.total",
    },
}

PLATFORMS = (
    PlatformUnderTest(
        driver="fpt",
        variant="attach",
        options={"mode": "attach"},
        upstream={"console_seconds": 86400},
        keys=4,
        open_operation="chat",
        opens=False,
        may_lack_key=True,
    ),
    PlatformUnderTest(
        driver="fpt",
        variant="template",
        options=TEMPLATE,
        open_operation="open",
        long_lists=(("list", "list"),),
    ),
)
