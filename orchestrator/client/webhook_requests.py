"""The requests of the HTTP API about webhooks. They are no jobs: a webhook concerns the installation, not a session."""

from typing import Annotated

from pydantic import AfterValidator, Field

from orchestrator.client import fields
from orchestrator.client.base import Request
from orchestrator.rules import webhooks

#: Patterns of event types, accounts and events of one request.
MOST = 100


def _url(text: str) -> str:
    fault = webhooks.url_fault(text)
    if fault is not None:
        raise fields.fault("url", fault)
    return text


def _pattern(text: str) -> str:
    fault = webhooks.pattern_fault(text)
    if fault is not None:
        raise fields.fault("pattern", fault)
    return text


class PutWebhook(Request):
    """What is left out is the default again."""

    url: Annotated[str, Field(max_length=2000), AfterValidator(_url)]
    """`https://`, or `http://` to the machine of the workers itself."""
    secrets: list[fields.Reference] = Field(min_length=1, max_length=webhooks.MOST_SECRETS)
    """References of one secret, or of two while receivers change over."""
    events: list[Annotated[str, Field(max_length=200), AfterValidator(_pattern)]] = Field(
        default=[], max_length=MOST
    )
    """Types of events, with `*` for any characters; none: all."""
    accounts: list[fields.Identifier] = Field(default=[], max_length=MOST)
    """Only events of these accounts; none: all events."""
    active: bool = True


class ReplayWebhook(Request):
    """Which events are sent again."""

    events: list[fields.Line] = Field(default=[], max_length=MOST)
    """Their ids; none: everything that was given up."""
