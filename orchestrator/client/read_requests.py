"""The jobs that only read: the contract's names, defaults and limits. Fields are only added."""

from typing import Annotated

from pydantic import Field

from orchestrator.client import fields
from orchestrator.client.base import Request
from orchestrator.rules.states import State

#: The most entries of a page.
MOST_ENTRIES = 200


class GetSession(Request):
    """Read one session; an archived or deleted one as it was."""

    session_id: fields.Identifier


class ListSessions(Request):
    """Read sessions that are not deleted, newest first, page by page."""

    account_id: fields.Identifier | None = None
    provider: fields.Identifier | None = None
    model_id: fields.ModelIdentifier | None = None
    name: fields.Name | None = None
    """Only with exactly this name."""
    state: Annotated[list[fields.StateField], Field(max_length=len(State))] = Field(default_factory=list)
    """Only in these states; none: in any."""
    unproven: bool = False
    """Only with a close that the provider has not confirmed."""
    since: fields.Timestamp | None = None
    """Only created then or later."""
    limit: Annotated[int, Field(ge=1, le=MOST_ENTRIES)] = 50
    after: fields.Cursor | None = None
    """The `next` of the previous page; leave it out for the first page."""


class GetAccount(Request):
    """Read one account, with its quota, how much of it is used, and by which sessions."""

    account_id: fields.Identifier
