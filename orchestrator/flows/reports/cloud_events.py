"""Events as other services read them: CloudEvents 1.0."""

from typing import Any

from orchestrator.rules.events import rfc3339
from orchestrator.store.queries.outbox import WaitingEvent


def cloud_event(event: WaitingEvent) -> dict[str, Any]:
    """Return the event as CloudEvents 1.0, in JSON."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": "/orchestrator",
        "type": event.type,
        "subject": event.subject,
        "time": rfc3339(event.time),
        "datacontenttype": "application/json",
        "data": event.data,
    }
