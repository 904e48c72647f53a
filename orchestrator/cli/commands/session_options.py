"""The options of `session create`: the contract's keyword arguments."""

import json
from typing import Annotated, Any, TypeAlias

import typer

from orchestrator.cli.shared.known import ACCOUNT, MODEL, PROVIDER, known
from orchestrator.cli.shared.options import given
from orchestrator.cli.shared.spans import seconds_of

_STOP, _ATTACH, _UPSTREAM = "When it stops (the earliest counts)", "Attach", "Passed on to the provider"


def _duration(text: str) -> Any:
    return typer.Option(help=text, parser=seconds_of, metavar="TIME", rich_help_panel=_STOP)


Account: TypeAlias = Annotated[str, typer.Option(help="The account that pays.", **known(ACCOUNT))]
ModelId: TypeAlias = Annotated[str, typer.Option("--model", help="The model to serve.", **known(MODEL))]
Name: TypeAlias = Annotated[str | None, typer.Option(help="Generated where none is given.")]
SessionIdOption: TypeAlias = Annotated[
    str | None, typer.Option("--session-id", help="An id of your own; the same one creates one session.")
]
Description: TypeAlias = Annotated[str | None, typer.Option(help="At most 200 characters.")]
Nodes: TypeAlias = Annotated[int | None, typer.Option(help="1 by default.", show_default=False)]
Start: TypeAlias = Annotated[
    bool, typer.Option("--start/--no-start", help="Start it now, or define it only.")
]
OnQuotaOption: TypeAlias = Annotated[
    str | None, typer.Option(help="What to do without a free slot, credential or funds: reject or queue.")
]
Failover: TypeAlias = Annotated[bool, typer.Option("--failover", help="Move on when its provider loses it.")]
Provider: TypeAlias = Annotated[
    str | None, typer.Option(help="Only at this one of the model's providers.", **known(PROVIDER))
]
Credential: TypeAlias = Annotated[str | None, typer.Option(help="Only under this one, such as env:KEY_1.")]
Metadata: TypeAlias = Annotated[
    str | None, typer.Option(metavar="JSON", help="An object that is kept with the session.")
]

MaxDuration: TypeAlias = Annotated[int | None, _duration("After running so long: 90s, 1h30m, 2d.")]
MaxInteractions: TypeAlias = Annotated[
    int | None, typer.Option(help="After so many interactions.", rich_help_panel=_STOP)
]
Idle: TypeAlias = Annotated[int | None, _duration("After so long without an interaction.")]
MaxCost: TypeAlias = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="Before it costs more.", rich_help_panel=_STOP)
]

DirectPayment: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--direct-payment/--no-direct-payment",
        help="Its own flag.",
        rich_help_panel=_UPSTREAM,
        show_default=False,
    ),
]
UpstreamFailover: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--upstream-failover/--no-upstream-failover",
        help="Its own failover, not ours.",
        rich_help_panel=_UPSTREAM,
        show_default=False,
    ),
]
BidId: TypeAlias = Annotated[str | None, typer.Option(help="A bid of its market.", rich_help_panel=_UPSTREAM)]

AttachUrl: TypeAlias = Annotated[
    str | None, typer.Option(help="An endpoint that another party opened.", rich_help_panel=_ATTACH)
]
AttachSecretRef: TypeAlias = Annotated[
    str | None, typer.Option(help="Its secret by reference: env:NAME or file:/path.", rich_help_panel=_ATTACH)
]
AttachModel: TypeAlias = Annotated[
    str | None, typer.Option(help="What it calls the model.", rich_help_panel=_ATTACH)
]
AttachEndsAt: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Its end, in RFC 3339.", rich_help_panel=_ATTACH)
]


def metadata_of(text: str | None) -> dict[str, Any] | None:
    """Return the object behind --metadata."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter('must be a JSON object, such as {"team": "red"}', param_hint="--metadata")
    return value


def attach_of(url: str | None, secret_ref: str | None, model: str | None, ends_at: str | None) -> Any:
    """Return the `attach` of a job; None if no part of it was given."""
    return given(endpoint_url=url, secret_ref=secret_ref, model=model, ends_at=ends_at)
