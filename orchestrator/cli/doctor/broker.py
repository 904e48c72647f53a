"""Checks of the broker."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def reachable(settings: "Settings") -> str:
    """Does it answer?"""
    from orchestrator.client.sender import check_broker
    from orchestrator.settings import redacted_url

    check_broker(settings.broker_url, sentinel_master=settings.sentinel_master)
    return redacted_url(settings.broker_url)
