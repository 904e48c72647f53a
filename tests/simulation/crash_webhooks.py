"""A story of webhooks: wherever the worker dies, each event arrives, and those of a subject first arrive in order."""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.flows.operations.webhooks import put_webhook
from orchestrator.settings.configuration import WebhookConfiguration
from tests.simulation.crash_stage import MINUTE, Stage, Story
from tests.simulation.wire import RECEIVER

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def _events_arrive(stage: Stage) -> None:
    universe = stage.universe
    universe.secrets["HOOK"] = SECRET
    put_webhook(
        universe.database,
        "shop",
        WebhookConfiguration(
            url=RECEIVER, secret_refs=("env:HOOK",), event_types=("orchestrator.session.*",)
        ),
        active=True,
    )
    universe.webhook = lambda event: 503 if event["type"].endswith(".starting") else 204
    session = await stage.create()
    await stage.passes(2 * MINUTE)
    universe.webhook = lambda _event: 204
    await stage.job("session.close", session_id=session)
    await stage.passes(20 * MINUTE)
    with universe.database.reading() as tx:
        written = [event.id for event in tx.outbox.newest(subject=session)]
    arrived = list(_once(event for event in universe.taken if event["subject"] == session))
    if arrived != written:
        raise AssertionError(
            f"the receiver took {len(arrived)} of {len(written)} events, or in another order"
        )


def _once(events: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Return the ids in the order in which each first arrived."""
    return dict.fromkeys(str(event["id"]) for event in events)


WEBHOOKS = (Story(name="events arrive at a webhook", plot=_events_arrive, providers=("alpha",)),)
