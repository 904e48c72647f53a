"""Path and query parameters that routes share."""

from typing import Annotated, TypeAlias

from fastapi import Path, Query

from orchestrator.client import fields
from orchestrator.client.read_requests import MOST_ENTRIES
from orchestrator.rules.states import State
from orchestrator.store.queries.pages import SessionFilter

_ID = "^[A-Za-z0-9._:-]{1,64}$"
_MODEL_ID = "^[A-Za-z0-9._:/-]{1,64}$"

SessionId: TypeAlias = Annotated[
    str, Path(pattern=_ID, description="The session's id.", examples=["3c6e0b8a-9c15-4f2a-8b1f-7d2f5c9e1a44"])
]
AccountId: TypeAlias = Annotated[str, Path(pattern=_ID, description="The account's id.", examples=["acme"])]
ModelId: TypeAlias = Annotated[
    str, Path(pattern=_MODEL_ID, description="The model's id.", examples=["llama-3.1-8b"])
]
ProviderName: TypeAlias = Annotated[
    str, Path(pattern=_ID, description="Its name in the configuration.", examples=["gw"])
]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=MOST_ENTRIES, description="The most entries of the page.")]
After: TypeAlias = Annotated[
    str | None,
    Query(max_length=1000, description="The `next` of the previous page; leave it out for the first page."),
]
Account: TypeAlias = Annotated[str | None, Query(pattern=_ID, description="Only of this account.")]
Provider: TypeAlias = Annotated[str | None, Query(pattern=_ID, description="Only at this provider.")]
Since: TypeAlias = Annotated[
    fields.Timestamp | None,
    Query(description="From this time on, in RFC 3339.", examples=["2025-09-15T15:59:55Z"]),
]


def session_filter(
    *,
    state: Annotated[list[State] | None, Query(max_length=7, description="Only in these states.")] = None,
    account: Account = None,
    provider: Provider = None,
    model: Annotated[str | None, Query(pattern=_MODEL_ID, description="Only of this model.")] = None,
    name: Annotated[fields.Name | None, Query(description="Only with exactly this name.")] = None,
    search: Annotated[
        fields.Name | None,
        Query(description="Only with a name or an id that begins with this.", examples=["3c6e0b"]),
    ] = None,
    unproven: Annotated[
        bool, Query(description="Only with a close that the provider has not confirmed.")
    ] = False,
    since: Since = None,
) -> SessionFilter:
    """Return which sessions are wanted."""
    return SessionFilter(
        states=tuple(dict.fromkeys(state or ())),
        account_id=account,
        provider=provider,
        model_id=model,
        name=name,
        begins=search,
        unproven=unproven,
        since=since,
    )
